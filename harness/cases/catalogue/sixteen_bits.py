"""16-bit input, whose statistics and sums must be kept in float32."""

from __future__ import annotations

from harness.cases.case import Case
from harness.cases.data import gaussian, leaning_gradient, two_sided

DTYPES = ("bfloat16", "float16")

SIXTEEN_BITS = (
    Case(
        "sixteen_bits",
        "16-bit input, statistics in float32",
        ("low_precision_stats", "parameters_rounded"),
        ("statistics_in_sixteen_bits",),
        dtypes=DTYPES,
        quick=True,
    ),
    Case(
        "sixteen_bits_large_mean",
        "16-bit input whose mean needs more than 16 bits",
        ("low_precision_stats",),
        ("statistics_in_sixteen_bits",),
        data=gaussian(8.0),
        dtypes=DTYPES,
    ),
    Case(
        "float16_large_deviations",
        "float16 deviations above 256, whose squares exceed the largest float16: an intermediate in 16 bits overflows",
        ("low_precision_stats",),
        ("statistics_in_sixteen_bits", "squares_overflow"),
        data=gaussian(0.5, 400.0),
        dtypes=("float16",),
    ),
    Case(
        "sixteen_bits_far_mean",
        "16-bit input, mean/std = 1,000: float32 sums of squares lose their digits",
        ("fast_variance",),
        ("fast_variance_cancels", "statistics_in_sixteen_bits"),
        data=gaussian(1e3),
        dtypes=DTYPES,
    ),
    Case(
        "float16_far_mean_eps",
        "mean/std = 1,024 in float16, exactly, and an eps of three variances: a wrong eps shows beside a large mean",
        ("eps_missing", "eps_wrong"),
        ("eps_misplaced",),
        shape=(4, 5),
        data=two_sided(2.0**10),
        gradient=leaning_gradient,
        eps=3.0,
        script=("train",),
        dtypes=("float16",),
    ),
    Case(
        "sixteen_bits_thousand",
        "n = 1,024 values per channel: a 16-bit sum stalls",
        ("low_precision_stats",),
        ("statistics_in_sixteen_bits",),
        shape=(8, 5, 16, 8),
        data=gaussian(3.0),
        dtypes=DTYPES,
    ),
)
