"""Variances of the size of eps: where it sits, and how large it is."""

from __future__ import annotations

from harness.cases.case import Case
from harness.cases.data import gaussian
from harness.cases.script import DTYPES

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
        "unusual_eps",
        "an eps that is nobody's default, beside a variance of its size: one that is written into the code shows",
        ("eps_outside_sqrt", "eps_missing", "eps_wrong"),
        ("eps_misplaced",),
        data=gaussian(0.5, 0.017),
        eps=3e-4,
        moving_scale=(0.017, 3e-4),
        quick=True,
    ),
    Case(
        "tiny_eps",
        "an eps of 1e-7: some libraries refuse what is below 1e-5, which is their right; raising it in silence is not",
        ("eps_outside_sqrt", "eps_missing", "eps_wrong"),
        ("eps_floor", "eps_misplaced"),
        data=gaussian(0.5, 3e-4),
        eps=1e-7,
        moving_scale=(3e-4, 1e-7),
        may_refuse=True,
    ),
    Case(
        "eps_one",
        "an eps of 1, as large as the variance: no default, and no small correction",
        ("eps_outside_sqrt", "eps_missing", "eps_wrong", "bessel_wrong"),
        ("eps_misplaced",),
        eps=1.0,
    ),
    Case(
        "eps_zero",
        "an eps of 0: the formula of a textbook; some layers refuse it, or take 0 for 'not given'",
        source="no report; arguments that are tested by their truth",
        eps=0.0,
        policy="all",
    ),
    Case(
        "tiny_variance",
        "a variance of 1e-8, far below eps: a max(var, eps) or a floor for the variance shows",
        ("eps_outside_sqrt", "eps_missing", "eps_wrong"),
        ("eps_misplaced",),
        data=gaussian(0.5, 1e-4),
        moving_scale=(1e-4, 1e-8),
    ),
    Case(
        "small_variance_1024",
        "a variance of the size of eps over 1,024 values a channel: the eps of a path for large inputs",
        ("eps_outside_sqrt", "eps_missing", "eps_wrong"),
        ("eps_misplaced",),
        shape=(32, 2, 8, 4),
        data=gaussian(0.5, 0.003),
        script=("train",),
        dtypes=DTYPES,
    ),
    *(
        Case(
            f"small_variance_rank{len(shape)}",
            f"a variance of the size of eps at rank {len(shape)}, which may have a class, and an eps, of its own",
            ("eps_outside_sqrt", "eps_missing", "eps_wrong"),
            ("eps_misplaced",),
            shape=shape,
            data=gaussian(0.5, 0.003),
            script=("train",),
        )
        for shape in ((4, 5, 6), (2, 5, 3, 4, 1))
    ),
    Case(
        "zero_moving_var",
        "a moving variance of zero: only eps is left under the root",
        ("eps_missing", "eps_outside_sqrt"),
        ("zero_initial_variance",),
        moving_scale=(1.0, 0.0),
    ),
)
