"""Batches beyond what the bounds can decide: how accuracy decays with n is noted."""

from __future__ import annotations

from harness.cases.case import Case
from harness.cases.data import gaussian

MANY_VALUES = (
    Case(
        "many_values",
        "n = 65,536 values per channel: summed one by one, the error of the mean shows",
        ("naive_summation",),
        source="Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., chapter 4",
        shape=(64, 3, 32, 32),
        data=gaussian(3.0),
        script=("train",),
        dtypes=("float32",),
        policy="all",
    ),
)
