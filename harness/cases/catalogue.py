"""The named cases. Each says which mistakes it separates, why, and which row of the trap list it comes from.

A case that separates nothing new has no place here; `tests/test_catalogue.py` proves each claim.
Shapes repeat on purpose: a compiling framework pays once a shape.
"""

from __future__ import annotations

import numpy as np

from harness.cases.case import (
    Case,
    exact,
    gaussian,
    relu_zeros,
    wide_scales,
    with_bad_value,
    with_constant_channel,
)

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

ALL_DTYPES = ("float64", "float32", "bfloat16", "float16")

CASES: tuple[Case, ...] = (
    # --- ranks and shapes ---
    Case(
        "rank2",
        "after a dense layer: (N, C)",
        "the tutorial",
        FORMULAS,
        shape=(4, 5),
        quick=True,
    ),
    Case("rank3", "sequences: (N, C, L)", "the tutorial's rule, one rank on", FORMULAS, shape=(4, 5, 6)),
    Case(
        "rank4",
        "after a convolution: (N, C, H, W), all four sizes distinct",
        "row 32: jax#461",
        (*FORMULAS, "wrong_axis"),
        quick=True,
    ),
    Case("rank5", "volumes: (N, C, D, H, W)", "row 32", (*FORMULAS, "wrong_axis"), shape=(2, 5, 3, 4, 6)),
    Case(
        "all_axes_equal",
        "N = C = H = W: a wrong axis gives numbers instead of an error",
        "row 32: Paddle#54703, pytorch#107199",
        ("wrong_axis",),
        shape=(4, 4, 4, 4),
        quick=True,
    ),
    Case("one_channel", "C = 1", "row 32", shape=(4, 1, 2, 3)),
    Case("one_image", "N = 1 with many values a channel is ordinary", "row 7: pytorch#1381", shape=(1, 5, 4, 6)),
    Case(
        "two_values",
        "n = 2: Bessel's factor is 2",
        "row 5: pytorch#19902",
        ("moving_var_biased", "moving_var_unbiased", "batch_var_unbiased"),
        shape=(2, 5),
        data=gaussian(0.5),
    ),
    Case("odd_batch", "an odd n: no power of two hides a division", "the issue's list", shape=(7, 5)),
    # --- statistics over several steps ---
    Case(
        "five_steps",
        "the moving average over several updates",
        "rows 19, 28: mlx#1960, flax#1360",
        ("stats_updated_twice", "debiased", "not_debiased", "stats_frozen", "momentum_inverted"),
        script=("train", "train", "train", "train", "train", "eval"),
        quick=True,
    ),
    Case(
        "eval_between",
        "prediction in the middle of training must leave no trace",
        "rows 22, 33: pytorch#20967, pytorch#586",
        ("stats_updated_in_eval", "eval_uses_batch_stats", "eval_dx_as_training"),
        script=("train", "train", "eval", "train", "eval"),
    ),
    Case(
        "decimal_momentum",
        "a momentum that binary fractions cannot hold: 1 - 0.9 is not 0.1",
        "row 1: pytorch/examples#289",
        ("momentum_inverted", "momentum_wrong"),
        new_weight=0.1,
    ),
    Case(
        "tiny_momentum",
        "the default of Flax and Keras: the new batch weighs 0.01",
        "row 4",
        ("momentum_inverted",),
        new_weight=0.01,
    ),
    Case(
        "momentum_zero",
        "a new batch that weighs nothing: some take 0 for 'not given'",
        "row 3: Cadene/pretrained-models#5",
        new_weight=0.0,
        policy="all",
    ),
    Case(
        "momentum_one",
        "an old value that weighs nothing",
        "row 3, the other end",
        new_weight=1.0,
        policy="all",
    ),
    Case(
        "save_and_restore",
        "a layer restored from its saved state goes on as the old one would",
        "rows 18, 24: d2l-zh PR#1265, apex#380",
        ("state_not_saved",),
        script=("train", "train", "restore", "eval", "train"),
        dtypes=ALL_DTYPES,
        quick=True,
    ),
    Case(
        "two_layers",
        "two layers alive at once share nothing",
        "row 20: tt-metal#45578",
        ("state_shared",),
        script=("train", "train'", "train", "eval'", "eval"),
        quick=True,
    ),
    Case(
        "gradients_off",
        "training mode with gradients off is still training mode",
        "row 17: d2l",
        ("mode_follows_grad",),
        script=("train_no_grad", "eval", "train", "train_no_grad", "eval"),
        dtypes=ALL_DTYPES,
        quick=True,
    ),
    # --- eps ---
    Case(
        "small_variance",
        "a variance of the size of eps shows where eps sits",
        "row 9: ncnn#311, darknet#17, Flux#633",
        ("eps_outside_sqrt", "eps_missing", "eps_wrong"),
        data=gaussian(0.5, 0.003),
        moving_scale=(0.003, 1e-5),
        dtypes=ALL_DTYPES,
        quick=True,
    ),
    Case(
        "large_eps",
        "Keras' eps, a hundred times the others'",
        "rows 4, 10: tensorflow#8090, onnx#1820",
        ("eps_outside_sqrt", "eps_missing", "eps_wrong"),
        data=gaussian(0.5, 0.1),
        eps=1e-3,
        moving_scale=(0.1, 1e-2),
    ),
    Case(
        "zero_moving_var",
        "a moving variance of zero: only eps is left under the root",
        "row 27: equinox#955",
        ("eps_missing", "eps_outside_sqrt"),
        moving_scale=(1.0, 0.0),
    ),
    # --- large means, scales ---
    Case(
        "large_mean_1e2",
        "mean/std 100",
        "row 11: flax#1491",
        ("fast_variance",),
        data=gaussian(1e2),
        quick=True,
    ),
    Case(
        "large_mean_1e4",
        "mean/std 10,000: E[x^2] - E[x]^2 loses every digit of float32",
        "row 11: tensorflow#3290, equinox#314",
        ("fast_variance", "non_finite_output"),
        data=gaussian(1e4),
        quick=True,
    ),
    Case(
        "large_mean_1e6",
        "mean/std a million",
        "row 11: tt-metal#45968",
        ("fast_variance",),
        data=gaussian(1e6),
    ),
    Case(
        "large_moving_mean",
        "prediction far from zero: x*scale + shift may cancel, but only so much",
        "row 12: tensorflow#117318",
        data=gaussian(1e3),
        moving_scale=(1e3, 1.0),
    ),
    Case(
        "wide_scales",
        "channels from 1e-3 to 1e3: none may touch another",
        "channel independence",
        data=wide_scales(),
    ),
    Case("relu_zeros", "half of the values are exact zeros", "few-valued data", data=relu_zeros),
    Case(
        "exact_statistics",
        "integers whose mean and variance are exact in any order of summation",
        "oneDNN's benchdnn",
        data=exact,
        shape=(4, 5, 4, 4),
        exact_statistics=True,
    ),
    Case(
        "thousand_values",
        "n = 1,024, the largest that law judges",
        "row 16: pytorch#70901",
        ("low_precision_stats",),
        shape=(8, 5, 16, 8),
        data=gaussian(3.0),
    ),
    # --- degenerate values ---
    Case(
        "constant_channel",
        "a channel that holds one number comes out as beta",
        "row 13: caffe#3963, pytorch#5410",
        data=with_constant_channel(3.0),
        quick=True,
    ),
    Case(
        "constant_inexact",
        "one number that binary fractions cannot hold",
        "row 13",
        data=with_constant_channel(0.1),
    ),
    Case(
        "gamma_zero",
        "a gamma of zero is a number like others",
        "inverting y to x_hat divides by it",
        gamma=0.0,
    ),
    Case(
        "one_value",
        "one value per channel: refused, or x_hat = 0",
        "row 7: pytorch#1381, Flux#1992, tensorflow#34062",
        ("single_value_wrong",),
        shape=(1, 5),
        script=("train",),
        quick=True,
    ),
    Case(
        "one_value_image",
        "one value per channel at rank 4",
        "row 7",
        ("single_value_wrong",),
        shape=(1, 5, 1, 1),
        script=("train",),
    ),
    Case(
        "empty_batch",
        "no sample at all",
        "row 25: pytorch#12013, sonnet#125",
        ("empty_batch_wrong",),
        shape=(0, 5, 2, 3),
        script=("train", "eval"),
        policy="all",
    ),
    Case(
        "nan_in_one_channel",
        "a NaN stays in its own channel",
        "row 26: pytorch#90342",
        ("wrong_axis",),
        data=with_bad_value(np.nan),
        policy=(1,),
        quick=True,
    ),
    Case(
        "inf_in_one_channel",
        "an infinity stays in its own channel",
        "row 26",
        data=with_bad_value(np.inf),
        policy=(1,),
    ),
    Case(
        "near_overflow",
        "squares beyond the largest number",
        "row 14: pytorch PR#178123",
        data=gaussian(0.5, 1e25),
        dtypes=("float32",),
        policy="all",
    ),
    Case(
        "near_underflow",
        "squares below the smallest number",
        "row 14, the other end",
        data=gaussian(0.5, 1e-25),
        dtypes=("float32",),
        policy="all",
    ),
    # --- memory ---
    Case("sliced_input", "every second value of a wider array", "row 36: pytorch#84962", layout="sliced"),
    Case(
        "transposed_input",
        "strides in the other order",
        "row 36: pytorch#133520",
        layout="transposed",
    ),
    Case(
        "read_only_input",
        "an array that may not be written",
        "row 21: FlagGems#6435",
        ("input_mutated",),
        layout="read_only",
    ),
    # --- 16 bits ---
    Case(
        "sixteen_bits",
        "16-bit input, statistics in float32",
        "row 16: pytorch#126525",
        ("low_precision_stats",),
        dtypes=("bfloat16", "float16"),
        quick=True,
    ),
    Case(
        "sixteen_bits_large_mean",
        "16-bit input whose mean needs more than 16 bits",
        "rows 8, 16: tensorflow#30230, pytorch#195701",
        ("low_precision_stats",),
        data=gaussian(8.0),
        dtypes=("bfloat16", "float16"),
    ),
    Case(
        "sixteen_bits_far_mean",
        "16-bit input, mean/std 1,000: float32 sums of squares lose their digits",
        "rows 11, 16: flax#1491, pytorch#126525",
        ("fast_variance",),
        data=gaussian(1e3),
        dtypes=("bfloat16", "float16"),
    ),
    Case(
        "sixteen_bits_thousand",
        "1,024 values: a 16-bit sum stalls",
        "row 16: pytorch#70901",
        ("low_precision_stats",),
        shape=(8, 5, 16, 8),
        data=gaussian(3.0),
        dtypes=("bfloat16", "float16"),
    ),
    # --- many values ---
    Case(
        "many_values",
        "65,536 values a channel: how accuracy decays is a note",
        "naive summation",
        ("naive_summation",),
        shape=(64, 3, 32, 32),
        data=gaussian(3.0),
        script=("train",),
        dtypes=("float32",),
        policy="all",
    ),
)

BY_ID = {case.id: case for case in CASES}

UNREACHABLE = {
    "row 2": "the inverted formula with the other framework's constant is `momentum_inverted` from outside",
    "row 6": "two backends of one framework are two targets: check both",
    "row 15": "power instead of root differs by rounding that every honest bound allows",
    "row 23": "a cumulative average (momentum None) is a convention outside the contract: momentum is a number",
    "row 29": "synchronized batch norm needs several processes",
    "row 30": "synchronized batch norm needs several processes",
    "row 34": "second derivatives are not part of the contract",
    "row 35": "gamma's gradient is judged in every case; its rounding by the bound",
    "row 37": "compiled and eager are two targets: check both",
    "row 38": "recomputation is the caller's; its effect, `stats_updated_twice`, is separated",
    "row 40": "vmap with tracked statistics needs a framework's own transformation",
    "row 41": "masks are not part of the contract",
    "row 42": "exporting is the caller's; its effect, `eval_uses_batch_stats`, is separated",
    "row 43": "statistics of the wrong size can only be built through a framework's own constructor",
    "row 44": "a device move is a framework's own call",
    "row 46": "folding into a convolution needs a convolution",
}
"""Rows of the trap list without a case of their own, and why."""


def suite(name: str) -> tuple[Case, ...]:
    """The cases of "quick" (the seconds' answer) or "full". Raises ValueError for another name."""
    if name == "full":
        return CASES
    if name == "quick":
        return tuple(case for case in CASES if case.quick)
    raise ValueError(f"suite must be quick or full, got {name!r}")
