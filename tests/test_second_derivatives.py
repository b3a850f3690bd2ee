"""The closed forms of forward mode and second derivatives against finite differences in 50 digits."""

from dataclasses import replace

import mpmath
import numpy as np
import pytest

from reference.conventions import PRESETS
from reference.second_derivatives import TwiceDifferentiable

CASES = {  # n, mean/std, std, eps
    "one_value": (1, 1.0, 1.0, 1e-5),
    "two_values": (2, 1.0, 1.0, 1.0),
    "seven_values": (7, 1.0, 1.0, 1e-5),
    "large_mean": (5, 1e4, 1.0, 1e-5),
    "variance_of_the_size_of_eps": (6, 1.0, 0.003, 1e-5),
    "constant_channel": (4, 3.0, 0.0, 0.1),
}
WITHIN = 1e-14
"""Of the largest value: longdouble's 2^-64, times a mean/std of 1e4 and the 1/(v + eps) of two values."""


class Exact:
    """One channel of batch norm in 50 digits."""

    def __init__(self, eps, eps_at, statistics):
        self.eps, self.eps_at, self.statistics = mpmath.mpf(eps), eps_at, statistics

    def loss(self, x, dy, gamma, beta):
        """<dy, y>."""
        mean, var = self.statistics or (mpmath.fsum(x) / len(x), None)
        centred = [value - mean for value in x]
        if var is None:
            var = mpmath.fsum(value**2 for value in centred) / len(x)
        inside = self.eps_at == "inside_sqrt"
        root = mpmath.sqrt(var + self.eps) if inside else mpmath.sqrt(var) + self.eps
        return mpmath.fsum(up * (gamma * value / root + beta) for up, value in zip(dy, centred, strict=True))

    def along(self, x, dy, gamma, beta, directions):
        """S: the derivative of the loss as x, gamma and beta move along `directions`."""
        ddx, ddgamma, ddbeta = directions

        def moved(t):
            along_x = [value + t * way for value, way in zip(x, ddx, strict=True)]
            return self.loss(along_x, dy, gamma + t * ddgamma, beta + t * ddbeta)

        return derivative(moved, mpmath.mpf(10) ** -16)


def derivative(f, step):
    """Central, of fourth order."""
    return (8 * (f(step) - f(-step)) - (f(2 * step) - f(-2 * step))) / (12 * step)


def gradient(f, values):
    def by(place):
        return derivative(lambda t: f([v + t * (i == place) for i, v in enumerate(values)]), mpmath.mpf(10) ** -8)

    return [by(place) for place in range(len(values))]


def exactly(array):
    """Every longdouble is the sum of two numbers of float64."""
    high = np.asarray(array, np.float64)
    return [mpmath.mpf(float(a)) + mpmath.mpf(float(b)) for a, b in zip(high.flat, (array - high).flat, strict=True)]


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("eps_at", ["inside_sqrt", "outside_sqrt"])
@pytest.mark.parametrize("case", CASES)
def test_closed_forms_are_the_finite_differences(case, eps_at, mode):
    n, mean_over_std, std, eps = CASES[case]
    if eps_at == "outside_sqrt" and mode == "train" and (n == 1 or std == 0):
        return  # sqrt(var) has no derivative at 0
    rng = np.random.default_rng(n)
    scale = std or 1.0
    x = (mean_over_std * scale + std * rng.standard_normal((n, 1))).astype(np.longdouble)
    dy, ddx = (rng.standard_normal((2, n, 1)) + 0.25).astype(np.longdouble)
    gamma, beta, ddgamma, ddbeta, moving_mean = rng.standard_normal((5, 1)).astype(np.longdouble)
    layer = TwiceDifferentiable(1, eps, 0.9, replace(PRESETS["d2l"], eps_at=eps_at, single_value="zero"), x.dtype)
    layer.gamma, layer.beta = gamma, beta
    layer.average_mean, layer.average_var = moving_mean, np.full(1, 0.75, x.dtype)
    dx2, ddy, dgamma2 = getattr(layer, f"{mode}_double")(x, dy, ddx, ddgamma, ddbeta)
    ty = getattr(layer, f"{mode}_jvp")(x, ddx, ddgamma, ddbeta)
    with mpmath.workdps(50):
        statistics = None if mode == "train" else (exactly(moving_mean)[0], exactly(layer.average_var)[0])
        exact = Exact(eps, eps_at, statistics)
        given = [exactly(a) for a in (x, dy)] + [exactly(a)[0] for a in (gamma, beta)]
        ways = (exactly(ddx), exactly(ddgamma)[0], exactly(ddbeta)[0])
        differences = {
            "dx2": gradient(lambda v: exact.along(v, *given[1:], ways), given[0]),
            "ddy": gradient(lambda v: exact.along(given[0], v, *given[2:], ways), given[1]),
            "dgamma2": gradient(lambda v: exact.along(*given[:2], v[0], given[3], ways), [given[2]]),
        }
        differences["ty"] = differences["ddy"]
        for name, value in {"dx2": dx2, "ddy": ddy, "dgamma2": dgamma2, "ty": ty}.items():
            size = max(1e-3, *(abs(v) for v in differences[name]))
            errors = [abs(a - b) for a, b in zip(exactly(value), differences[name], strict=True)]
            assert max(errors) <= WITHIN * size, name


def test_one_value_refused_as_declared():
    layer = TwiceDifferentiable(1, conventions=PRESETS["torch"])
    one, per_channel = np.ones((1, 1)), np.ones(1)
    with pytest.raises(ValueError, match="more than one value"):
        layer.train_jvp(one, one, per_channel, per_channel)


def test_an_empty_batch_has_no_derivative():
    empty, per_channel = np.ones((0, 1)), np.ones(1)
    with pytest.raises(ValueError, match="at least one value"):
        TwiceDifferentiable(1).train_double(empty, empty, empty, per_channel, per_channel)


@pytest.mark.parametrize("channel_axis", [1, -1])
def test_ranks_and_axes_are_those_of_the_rows(channel_axis):
    rng = np.random.default_rng(0)
    shape = (2, 3, 4, 3)
    x, dy, ddx = rng.standard_normal((3, *shape))
    parameters = rng.standard_normal((2, 3))
    layer = TwiceDifferentiable(3, conventions=replace(PRESETS["d2l"], channel_axis=channel_axis))
    rows = [np.moveaxis(a, channel_axis, -1).reshape(-1, 3) for a in (x, dy, ddx)]
    flat = TwiceDifferentiable(3)
    for got, expected in zip(
        layer.train_double(x, dy, ddx, *parameters), flat.train_double(*rows, *parameters), strict=True
    ):
        as_rows = np.moveaxis(got, channel_axis, -1).reshape(-1, 3) if got.ndim > 1 else got
        np.testing.assert_allclose(as_rows, expected, rtol=1e-12, atol=1e-12)
