"""Large means, unequal scales and few-valued data: what rounding makes of them."""

from __future__ import annotations

from harness.cases.case import Case
from harness.cases.data import exact, gaussian, relu_zeros, wide_scales

SCALES = (
    Case(
        "large_mean_1e2",
        "mean/std = 100: E[x^2] - E[x]^2 loses about four digits",
        ("fast_variance",),
        ("fast_variance_cancels",),
        data=gaussian(1e2),
        quick=True,
    ),
    Case(
        "large_mean_1e4",
        "mean/std = 10,000: E[x^2] - E[x]^2 loses every digit of float32",
        ("fast_variance", "non_finite_output"),
        ("fast_variance_cancels",),
        data=gaussian(1e4),
        quick=True,
    ),
    Case(
        "large_mean_1e6",
        "mean/std = 1,000,000: E[x^2] - E[x]^2 loses most digits of float64 as well",
        ("fast_variance",),
        ("fast_variance_cancels",),
        data=gaussian(1e6),
    ),
    Case(
        "large_moving_mean",
        "prediction far from zero: x * scale + shift may cancel, but only within the bound",
        traps=("scale_and_shift_cancels",),
        data=gaussian(1e3),
        moving_scale=(1e3, 1.0),
    ),
    Case(
        "wide_scales",
        "channels of scales from 1e-3 to 1e3: none may touch another",
        source="no report; channels are independent by definition",
        data=wide_scales(),
    ),
    Case(
        "relu_zeros",
        "half of the values are exact zeros, as after a ReLU",
        source="no report; what layers in a network are fed",
        data=relu_zeros,
    ),
    Case(
        "exact_statistics",
        "integers whose mean and variance are exact in any order of summation",
        source="oneDNN's benchdnn (bnorm)",
        data=exact,
        shape=(4, 5, 4, 4),
    ),
    Case(
        "thousand_values",
        "n = 1,024 values per channel, the most that decide a verdict: sums in few bits stall",
        ("low_precision_stats",),
        ("statistics_in_sixteen_bits",),
        shape=(8, 5, 16, 8),
        data=gaussian(3.0),
    ),
)
