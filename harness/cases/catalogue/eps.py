"""Variances of the size of eps: where it sits, and how large it is."""

from __future__ import annotations

from harness.cases.case import DTYPES, Case
from harness.cases.data import gaussian

EPS = (
    Case(
        "small_variance",
        "a variance of the size of eps shows where eps is added",
        ("eps_outside_sqrt", "eps_missing", "eps_wrong"),
        ("eps_misplaced", "eps_rounded_to_float"),
        data=gaussian(0.5, 0.003),
        moving_scale=(0.003, 1e-5),
        dtypes=DTYPES,
        quick=True,
    ),
    Case(
        "large_eps",
        "Keras' default eps of 1e-3, a hundred times that of the others",
        ("eps_outside_sqrt", "eps_missing", "eps_wrong"),
        ("eps_misplaced", "defaults_differ"),
        data=gaussian(0.5, 0.1),
        eps=1e-3,
        moving_scale=(0.1, 1e-2),
    ),
    Case(
        "zero_moving_var",
        "a moving variance of zero: only eps is left under the root",
        ("eps_missing", "eps_outside_sqrt"),
        ("zero_initial_variance",),
        moving_scale=(1.0, 0.0),
    ),
)
