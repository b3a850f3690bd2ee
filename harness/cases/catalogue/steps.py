"""Several steps: how the moving statistics move, and what the layer remembers."""

from __future__ import annotations

from harness.cases.case import Case
from harness.cases.data import gaussian
from harness.cases.script import DTYPES

STEPS = (
    Case(
        "five_steps",
        "the moving average over five updates: a second update a step, debiasing and frozen statistics show",
        ("stats_updated_twice", "debiased", "not_debiased", "stats_frozen", "momentum_inverted"),
        ("stats_never_updated", "stats_updated_by_recomputation", "first_batch_or_debias"),
        script=("train", "train", "train", "train", "train", "eval"),
        quick=True,
    ),
    Case(
        "eval_between",
        "prediction in the middle of training must leave no trace, and differentiate as prediction",
        ("stats_updated_in_eval", "eval_uses_batch_stats", "eval_dx_as_training"),
        ("tracking_toggled", "exported_in_wrong_mode", "eval_gradient_of_training"),
        script=("train", "train", "eval", "train", "eval"),
    ),
    Case(
        "two_predictions_first",
        "two predictions in a row, then training: nothing may be made in the first call, or kept for the second",
        ("eval_uses_batch_stats", "stats_updated_in_eval"),
        ("tracking_toggled",),
        script=("eval", "eval", "train", "eval"),
    ),
    Case(
        "twenty_steps",
        "twenty updates: what changes after a warm-up, or grows with their number",
        ("stats_updated_twice", "debiased", "not_debiased"),
        ("first_batch_or_debias",),
        shape=(4, 5),
        script=("train",) * 20 + ("eval",),
    ),
    Case(
        "decimal_momentum",
        "a momentum that binary fractions cannot hold: 1 - 0.9 is not 0.1",
        ("momentum_inverted", "momentum_wrong", "settings_rounded"),
        ("momentum_inverted_reading",),
        new_weight=0.1,
    ),
    Case(
        "tiny_momentum",
        "the default of Flax and Keras: the new batch weighs 0.01",
        ("momentum_inverted",),
        ("momentum_of_another_framework", "defaults_differ"),
        new_weight=0.01,
    ),
    Case(
        "momentum_zero",
        "a new batch that weighs nothing: some layers take 0 for 'not given'",
        traps=("momentum_extreme",),
        new_weight=0.0,
        policy="all",
    ),
    Case(
        "momentum_one",
        "an old value that weighs nothing",
        traps=("momentum_extreme",),
        new_weight=1.0,
        policy="all",
    ),
    Case(
        "save_and_restore",
        "a layer restored from its saved state continues as the original would",
        ("state_not_saved", "restore_changes_layer", "stale_fold"),
        ("stats_not_saved", "counter_not_restored"),
        script=("train", "train", "restore", "eval", "train"),
        dtypes=DTYPES,
        quick=True,
    ),
    Case(
        "load_into_used",
        "a saved state loaded into a layer that has trained before: nothing of its own past may remain",
        ("state_not_saved",),
        ("counter_not_restored",),
        script=("train", "train", "restore_used", "eval", "train", "eval"),
        quick=True,
    ),
    Case(
        "restore_small_variance",
        "a restored variance of the size of eps: eps subtracted or added in loading shows",
        ("state_not_saved", "restore_changes_layer"),
        ("stats_not_saved",),
        shape=(4, 5),
        data=gaussian(0.5, 0.003),
        moving_scale=(0.003, 1e-5),
        script=("train", "train", "restore", "eval", "train"),
    ),
    Case(
        "two_layers",
        "two layers alive at once share nothing",
        ("state_shared",),
        ("stats_overwritten_too_early",),
        script=("train", "train'", "train", "eval'", "eval"),
        quick=True,
    ),
    Case(
        "gradients_off",
        "training mode with gradients off is still training mode",
        ("mode_follows_grad",),
        ("mode_from_gradient_flag",),
        script=("train_no_grad", "eval", "train", "train_no_grad", "eval"),
        dtypes=DTYPES,
        quick=True,
    ),
)
