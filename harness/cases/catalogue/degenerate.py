"""No variance, no value, no finite number: the edges of the definition."""

from __future__ import annotations

import numpy as np

from harness.cases.case import Case
from harness.cases.data import gaussian, with_bad_value, with_constant_channel

DEGENERATE = (
    Case(
        "constant_channel",
        "a channel that holds one number everywhere comes out as beta",
        traps=("constant_channel_not_beta",),
        data=with_constant_channel(3.0),
        quick=True,
    ),
    Case(
        "constant_inexact",
        "a channel that holds 0.1 everywhere: its sum rounds, so that the mean need not be 0.1",
        traps=("constant_channel_not_beta",),
        data=with_constant_channel(0.1),
    ),
    Case(
        "one_value",
        "one value per channel is refused, or gives x_hat = 0, as the conventions declare",
        ("single_value_wrong",),
        ("single_value_per_channel",),
        shape=(1, 5),
        script=("train",),
        quick=True,
    ),
    Case(
        "one_value_image",
        "one value per channel at rank 4",
        ("single_value_wrong",),
        ("single_value_per_channel",),
        shape=(1, 5, 1, 1),
        script=("train",),
    ),
    Case(
        "empty_batch",
        "a batch without samples: the moving statistics should stay as they are",
        ("empty_batch_wrong",),
        ("empty_batch",),
        shape=(0, 5, 2, 3),
        script=("train", "eval"),
        policy="all",
    ),
    Case(
        "nan_in_one_channel",
        "a NaN stays in its own channel",
        ("wrong_axis",),
        ("non_finite_values_stay",),
        data=with_bad_value(np.nan),
        policy=(1,),
        quick=True,
    ),
    Case(
        "inf_in_one_channel",
        "an infinity stays in its own channel",
        traps=("non_finite_values_stay",),
        data=with_bad_value(np.inf),
        policy=(1,),
    ),
    Case(
        "near_overflow",
        "values whose squares exceed the largest float32",
        traps=("squares_overflow",),
        data=gaussian(0.5, 1e25),
        dtypes=("float32",),
        policy="all",
    ),
    Case(
        "near_underflow",
        "values whose squares fall below the smallest float32",
        traps=("squares_overflow",),
        data=gaussian(0.5, 1e-25),
        dtypes=("float32",),
        policy="all",
    ),
)
