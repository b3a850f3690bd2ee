"""Large means, unequal scales and few-valued data: what rounding makes of them."""

from __future__ import annotations

from harness.cases.case import Case, Parameters
from harness.cases.data import exact, gaussian, leaning_gradient, relu_zeros, two_sided, wide_scales
from harness.cases.script import DTYPES

FAR = Parameters(
    gamma=(1 / 64, -1 / 64, 3 / 128, -3 / 128, 5 / 256),
    beta=(2.0, -1.5, 1.75, -2.5, 2.25),
    moving_mean=(1.5, -0.75, 0.5, -1.25, 1.0),
    moving_var=(64.0, 48.0, 56.0, 72.0, 80.0),
)
"""Where the mean is so large that x_hat is known to a tenth only: beside these, a tenth of x_hat is little."""

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
        "large_mean_1e2_eps",
        "mean/std = 128 and an eps of three variances: a wrong eps shows beside a large mean",
        ("eps_missing", "eps_wrong"),
        ("eps_misplaced",),
        shape=(4, 5),
        data=two_sided(2.0**7),
        gradient=leaning_gradient,
        eps=3.0,
        script=("train",),
        dtypes=DTYPES,
    ),
    Case(
        "large_mean_1e4_eps",
        "mean/std = 8,192, few values and an eps of three variances: dx's variance term and eps still show in float32",
        ("dx_ignores_mean",),
        ("eps_misplaced",),
        shape=(4, 5),
        data=two_sided(2.0**13),
        gradient=leaning_gradient,
        eps=3.0,
        script=("train",),
    ),
    Case(
        "far_mean_pair",
        "mean/std = 500,000 over two values: what is left of the variance in float32, in y and in the moving average",
        ("fast_variance",),
        ("fast_variance_cancels",),
        shape=(2, 5),
        data=two_sided(2.0**19),
        parameters=FAR,
        script=("train",),
    ),
    Case(
        "far_mean_y",
        "mean/std = 131,072 over two values: the variance in y still shows in float32",
        ("fast_variance",),
        ("fast_variance_cancels",),
        shape=(2, 5),
        data=two_sided(2.0**17),
        parameters=FAR,
        script=("train",),
    ),
    Case(
        "far_mean_large_eps",
        "mean/std = 500,000 and an eps of 255: var + eps is 256, so that dx and eps show in float32",
        ("dx_ignores_mean",),
        ("eps_misplaced",),
        shape=(2, 5),
        data=two_sided(2.0**19),
        gradient=leaning_gradient,
        parameters=FAR,
        eps=255.0,
        script=("train",),
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
