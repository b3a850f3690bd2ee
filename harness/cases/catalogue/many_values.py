"""Many values a channel: kernels that split a sum, or leave a tail, go wrong where small batches cannot show it.

Data for which the bound still proves something: means near zero, few values that are not zero, or sums that cannot
round. Of the rest, how accuracy decays with n is noted.
"""

from __future__ import annotations

from harness.cases.case import Case, Parameters
from harness.cases.data import aligned_gradient, gaussian, impulses, leaning_gradient, signs, sparse_gradient, two_sided

DYADIC = Parameters(gamma=(1.5, -0.75), beta=(0.5, -1.25), moving_mean=(0.25, -0.5), moving_var=(1.0, 13.0))
"""var + eps is 4 or 16 in prediction, where eps is 3."""

EXACT_SUMS = (
    Case(
        "exact_1024",
        "n = 1,024 values per channel, of 2 and 4, var + eps = 4: statistics, scale and results are exact",
        (),
        ("tail_or_block_lost",),
        shape=(8, 2, 8, 16),
        data=two_sided(3.0),
        gradient=sparse_gradient(64),
        eps=3.0,
        parameters=DYADIC,
        script=("train", "eval"),
    ),
    Case(
        "exact_4096",
        "n = 4,096 values per channel, of 1 and -1, var + eps = 4: statistics, scale and results are exact",
        (),
        ("tail_or_block_lost",),
        shape=(64, 2, 64),
        data=signs,
        gradient=sparse_gradient(64),
        eps=3.0,
        parameters=DYADIC,
        script=("train",),
        dtypes=("float32",),
    ),
)
"""With `values_65536`, which is one of them, a ladder in which nothing rounds if sums are made of what is given.

Welford's running means round all the same, so that only a target that declares its sums is held to a few ulps.
"""

MANY_VALUES = (
    *EXACT_SUMS,
    Case(
        "values_1025",
        "n = 1,025 values per channel, one more than a block of 1,024",
        ("dx_ignores_mean", "dx_ignores_var"),
        ("tail_or_block_lost",),
        shape=(1025, 2),
        data=gaussian(0.5),
        gradient=leaning_gradient,
        script=("train", "eval"),
    ),
    Case(
        "values_1537",
        "n = 1,537 values per channel, three halves of 1,024 and one more",
        ("dx_ignores_mean", "dx_ignores_var"),
        ("tail_or_block_lost",),
        shape=(29, 2, 53),
        data=gaussian(0.5),
        gradient=leaning_gradient,
        script=("train",),
    ),
    Case(
        "values_4095",
        "n = 4,095 values per channel, one less than a power of two",
        ("dx_ignores_mean", "dx_ignores_var"),
        ("tail_or_block_lost",),
        shape=(9, 2, 35, 13),
        data=gaussian(0.5),
        gradient=sparse_gradient(),
        script=("train",),
        dtypes=("float32",),
    ),
    Case(
        "values_65536",
        "n = 65,536 values per channel, of 1 and -1, and var + eps = 4: every sum is exact, whatever its order",
        ("dx_ignores_mean", "dx_ignores_var"),
        ("tail_or_block_lost", "bessel_overflows_in_half"),
        shape=(64, 1, 32, 32),
        data=signs,
        gradient=sparse_gradient(),
        eps=3.0,
        script=("train", "eval"),
        dtypes=("float32", "float16", "bfloat16"),
        quick=True,
    ),
    Case(
        "values_65537",
        "n = 65,537 values per channel, a prime: no block divides it",
        ("dx_ignores_mean", "dx_ignores_var"),
        ("tail_or_block_lost",),
        shape=(65537, 1),
        data=gaussian(0.1),
        eps=3.0,
        gradient=sparse_gradient(),
        script=("train",),
        dtypes=("float32",),
    ),
    Case(
        "values_401408",
        "n = 401,408 values per channel, as 32 images of 112 x 112 have: few are not zero, one in each block",
        (),
        ("tail_or_block_lost",),
        shape=(32, 1, 112, 112),
        data=impulses(),
        gradient=aligned_gradient,
        script=("train",),
        dtypes=("float32",),
    ),
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
