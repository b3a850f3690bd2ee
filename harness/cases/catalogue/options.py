"""Layers built without a part, the plain average of the statistics, masks, and layers that are frozen."""

from __future__ import annotations

import numpy as np

from harness.cases import options
from harness.cases.case import Case
from harness.cases.data import gaussian, with_bad_value
from harness.cases.options import Options
from harness.cases.script import DTYPES

NO_PARAMETERS = "no report; a layer whose scale or shift belongs to the layer after it"

WITHOUT = (
    Case(
        "gamma_only",
        "a layer without beta: it scales and does not shift",
        ("dx_ignores_mean", "dx_ignores_var", "gamma_ignored", "eval_uses_batch_stats", "momentum_inverted"),
        source=NO_PARAMETERS,
        options=Options(without=("no_beta",)),
    ),
    Case(
        "beta_only",
        "a layer without gamma: it shifts and does not scale",
        ("dx_ignores_mean", "dx_ignores_var", "beta_ignored", "eval_uses_batch_stats", "momentum_inverted"),
        source=NO_PARAMETERS,
        options=Options(without=("no_gamma",)),
    ),
    Case(
        "no_parameters",
        "a layer without gamma and beta: it normalizes and does no more",
        ("dx_ignores_mean", "dx_ignores_var", "eval_dx_as_training", "eval_uses_batch_stats", "momentum_inverted"),
        source=NO_PARAMETERS,
        dtypes=DTYPES,
        options=Options(without=("no_gamma", "no_beta")),
    ),
    Case(
        "no_statistics",
        "no moving statistics are kept: prediction normalizes by the batch's own, and differentiates so",
        ("dx_ignores_mean", "dx_ignores_var", "no_statistics_wrong"),
        ("tracking_toggled",),
        script=("eval", "train", "eval", "train", "eval"),
        options=Options(without=("no_statistics",)),
        quick=True,
    ),
    Case(
        "nothing_kept",
        "neither gamma, beta nor moving statistics: a layer without any array",
        ("dx_ignores_mean", "dx_ignores_var", "no_statistics_wrong"),
        source=NO_PARAMETERS,
        shape=(4, 5),
        script=("train", "eval", "eval"),
        options=Options(without=("no_gamma", "no_beta", "no_statistics")),
    ),
)

AVERAGES = (
    Case(
        "cumulative_average",
        "the moving statistics are the plain average over all batches: the t-th weighs 1/t, and the first replaces "
        "what they start from",
        ("cumulative_wrong", "stats_updated_in_eval"),
        ("cumulative_average_compiled",),
        script=("train", "eval", "train", "train", "eval"),
        options=Options(cumulative=True),
        quick=True,
    ),
    Case(
        "cumulative_restored",
        "a restored layer goes on with the weight of the batch after those it has seen",
        ("cumulative_wrong", "state_not_saved"),
        ("cumulative_average_compiled", "counter_not_restored"),
        script=("train", "train", "restore", "eval", "train", "eval"),
        options=Options(cumulative=True),
    ),
)

RESTARTS = (
    Case(
        "restart_after_nan",
        "a good state loaded into a layer that a NaN has spoiled: nothing of the NaN may remain",
        ("state_not_saved",),
        ("non_finite_values_stay",),
        data_of_op=(("restore_used", with_bad_value(np.nan)),),
        script=("train", "train", "restore_used", "eval", "train", "eval"),
    ),
)

MASKS = (
    Case(
        "mask",
        "elements that a mask leaves out count in no statistic, and no gradient reaches them; the mask differs from "
        "step to step",
        ("mask_ignored", "mask_in_mean_only", "mask_miscounted", "mask_leaks"),
        ("mask_ignored",),
        script=("eval", "train", "train", "eval"),
        dtypes=DTYPES,
        options=Options(mask=options.some()),
    ),
    Case(
        "mask_sequences",
        "sequences of unequal length, padded to that of the longest",
        ("mask_ignored", "mask_in_mean_only", "mask_miscounted", "mask_leaks"),
        ("mask_ignored",),
        shape=(4, 5, 6),
        options=Options(mask=options.padded),
    ),
    Case(
        "mask_rank2",
        "rows of a table: few of them count, so that Bessel's factor of all of them is another",
        ("mask_ignored", "mask_in_mean_only", "mask_miscounted", "mask_leaks"),
        ("mask_ignored",),
        shape=(7, 5),
        options=Options(mask=options.some(0.4)),
        quick=True,
    ),
    Case(
        "mask_broadcasts",
        "a mask of whole samples, (N, 1, 1), which broadcasts over the places",
        ("mask_ignored", "mask_in_mean_only", "mask_miscounted", "mask_leaks"),
        ("mask_ignored",),
        options=Options(mask=options.whole_samples),
    ),
    Case(
        "mask_and_none",
        "steps with a mask that counts all, in a layer that takes masks: the plain batch norm",
        ("dx_ignores_mean", "dx_ignores_var", "eval_uses_batch_stats"),
        ("mask_ignored",),
        options=Options(mask=options.everything),
    ),
    Case(
        "mask_one_left",
        "a mask leaves one value per channel: its variance is 0 and y is beta, as without a mask",
        ("mask_ignored",),
        ("mask_ignored",),
        shape=(7, 5),
        script=("train", "eval"),
        options=Options(mask=options.one),
    ),
    Case(
        "mask_nothing_left",
        "a mask that counts nothing: the moving statistics should stay as they are, as after an empty batch",
        traps=("mask_ignored",),
        script=("train", "eval"),
        policy="all",
        options=Options(mask=options.nothing),
    ),
)

FROZEN = (
    Case(
        "frozen",
        "a frozen layer inside a model that trains: y and dx are prediction's, and the statistics stay",
        ("frozen_ignored", "frozen_moves_statistics", "frozen_by_batch", "frozen_dx_as_training"),
        ("frozen_layer_trains",),
        script=("train", "frozen", "frozen", "train", "eval"),
        dtypes=DTYPES,
    ),
    Case(
        "frozen_only",
        "a layer that is never anything but frozen, as those of detection models are",
        ("frozen_ignored", "frozen_moves_statistics", "frozen_by_batch", "frozen_dx_as_training"),
        ("frozen_layer_trains",),
        script=("frozen", "eval", "frozen", "eval"),
    ),
    Case(
        "frozen_stays",
        "a frozen layer stays frozen while the model around it predicts and trains again",
        ("frozen_ignored", "frozen_moves_statistics", "frozen_by_batch", "frozen_dx_as_training"),
        ("frozen_layer_trains",),
        shape=(4, 5),
        data=gaussian(0.5),
        script=("frozen", "eval", "frozen", "train", "eval", "frozen", "eval"),
        quick=True,
    ),
)

OPTIONS = (*WITHOUT, *AVERAGES, *RESTARTS, *MASKS, *FROZEN)
