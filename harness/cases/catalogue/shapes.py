"""Every rank, and the shapes in which a wrong axis or a wrong count shows."""

from __future__ import annotations

from harness.cases.case import Case
from harness.cases.data import gaussian

FORMULAS = (
    "momentum_inverted",
    "momentum_wrong",
    "moving_var_biased",
    "moving_var_unbiased",
    "bessel_wrong",
    "batch_var_unbiased",
    "std_averaged",
    "eval_uses_batch_stats",
    "train_uses_moving_stats",
    "stats_frozen",
    "stats_updated_in_eval",
    "stats_updated_twice",
    "debiased",
    "not_debiased",
    "dx_ignores_mean",
    "dx_ignores_var",
    "eval_dx_as_training",
    "dgamma_not_normalized",
    "dgamma_dbeta_swapped",
    "grads_averaged",
    "grads_accumulated",
    "gamma_ignored",
    "beta_ignored",
    "input_mutated",
)
"""What any case of ordinary numbers separates: it trains, predicts and has non-default parameters."""

SHAPES = (
    Case(
        "rank2",
        "after a dense layer: (N, C)",
        FORMULAS,
        source="https://d2l.ai/chapter_convolutional-modern/batch-norm.html",
        shape=(4, 5),
        quick=True,
    ),
    Case("rank3", "sequences: (N, C, L)", FORMULAS, ("axes_mixed_up",), shape=(4, 5, 6)),
    Case(
        "rank4",
        "after a convolution: (N, C, H, W), all four sizes distinct, so that no axis passes for another",
        (*FORMULAS, "wrong_axis"),
        ("axes_mixed_up", "stats_overwritten_too_early", "gamma_gradient_wrong", "wrong_power_of_variance"),
        quick=True,
    ),
    Case(
        "rank5",
        "volumes: (N, C, D, H, W)",
        (*FORMULAS, "wrong_axis"),
        ("axes_mixed_up",),
        shape=(2, 5, 3, 4, 6),
    ),
    Case(
        "all_axes_equal",
        "N = C = H = W: a wrong axis gives wrong numbers instead of an error",
        ("wrong_axis",),
        ("axes_mixed_up",),
        shape=(4, 4, 4, 4),
        quick=True,
    ),
    Case(
        "one_channel",
        "C = 1: a channel axis of one element may not be squeezed or broadcast away",
        traps=("axes_mixed_up",),
        shape=(4, 1, 2, 3),
    ),
    Case(
        "one_image",
        "N = 1 with many values per channel is an ordinary batch, not a single value",
        traps=("single_value_per_channel",),
        shape=(1, 5, 4, 6),
    ),
    Case(
        "two_values",
        "n = 2 values per channel: Bessel's factor n/(n-1) is at its largest, 2",
        ("moving_var_biased", "moving_var_unbiased", "batch_var_unbiased"),
        ("bessel_in_moving_variance",),
        shape=(2, 5),
        data=gaussian(0.5),
    ),
    Case(
        "odd_batch",
        "n = 7 values per channel: division by n rounds, as it does not for a power of two",
        source="no report; a gap that powers of two leave",
        shape=(7, 5),
    ),
)
