"""How large a rounding error an honest batch norm may make, for each observable, from the data alone.

`error <= bound` holds for every honest algorithm: a two-pass, Welford or Chan variance, sums in any order, x*scale + shift,
autodiff or the closed form backward. E[x^2] - E[x]^2 is not one. ERROR_BOUNDS.md derives each line and says which
constants are proved. Notation, a channel at a time: m, v the exact batch statistics, d = x - m, r = 1/sqrt(v + eps),
xh = d r; u = Precision.work; a name that ends in _error is a bound of an absolute error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reference.summation_error import CLUSTER_CONSTANT, summation_error

Array = NDArray[np.float64]
Bounds = dict[str, Array]

# As BIAS_CONSTANT of a sum, twice: a running mean that is off should be drawn back by a share of 1/k at step k, but
# where the steps are rounded away that does not happen, and evenly spaced data then err twice as far.
RUNNING_BIAS_CONSTANT = 4.0


@dataclass(frozen=True)
class Precision:
    """The arithmetic that is judged. All numbers are absolute values, without unit."""

    work: float  # unit roundoff of parameters, statistics, accumulation
    io: float  # unit roundoff of x, y, dx: that of `work` unless these have 16 bits
    work_tiny: float  # smallest subnormal number of the working dtype
    io_tiny: float  # smallest subnormal number of x, y, dx

    @property
    def flush(self) -> float:
        """The smallest normal number: some libraries flush all below it to zero. It is 1e-38 and hides nothing."""
        return self.work_tiny / (2 * self.work)


PRECISIONS: Mapping[str, Precision] = MappingProxyType(
    {
        "float64": Precision(2.0**-53, 2.0**-53, 2.0**-1074, 2.0**-1074),
        "float32": Precision(2.0**-24, 2.0**-24, 2.0**-149, 2.0**-149),
        "bfloat16": Precision(2.0**-24, 2.0**-8, 2.0**-149, 2.0**-133),
        "float16": Precision(2.0**-24, 2.0**-11, 2.0**-149, 2.0**-24),
    }
)


def precision_of(dtype: str) -> Precision:
    """The precision of a batch norm whose x has this dtype (16-bit x: all else is float32)."""
    if dtype not in PRECISIONS:
        raise ValueError(f"no error bound for dtype {dtype!r}; supported: {', '.join(PRECISIONS)}")
    return PRECISIONS[dtype]


def train_bounds(
    x: NDArray[Any], dy: NDArray[Any], gamma: ArrayLike, beta: ArrayLike, eps: float, precision: Precision,
    eps_at: str = "inside_sqrt",
) -> Bounds:  # fmt: skip
    """Bounds of one training step. x, dy (n, C) in extended precision; gamma, beta (C,).

    Returns y, dx (n, C); dgamma, dbeta, mean, var (C,): the last two of the biased batch statistics.
    """
    n, channels = x.shape
    if n == 0:
        return _nothing(channels, ("y", "dx"), ("dgamma", "dbeta", "mean", "var"))
    u, flush = precision.work, precision.flush
    exact_mean = x.mean(axis=0)
    exact_mean += (x - exact_mean).mean(axis=0)
    d = _float64(x - exact_mean)  # formed before the cast: d keeps its digits where |m| is much larger
    x64, dy64, m = _float64(x), _float64(dy), _float64(exact_mean)
    v = np.mean(d * d, axis=0)
    r, _ = _scale(v, np.zeros(channels), eps, eps_at, u)
    xh = d * r
    upstream = _float64(gamma) * dy64  # what autodiff sums, in part times r: other numbers, so other roundings
    names = ("x", "dd", "dy", "upstream_r", "dy_xh", "upstream_d", "dy_x")
    sums = _sum_errors(u, x64, d * d, dy64, upstream * r, dy64 * xh, upstream * d, dy64 * x64)
    se = dict(zip(names, sums, strict=True))

    running_error, running_var_error = _running(d, m, v, u)
    mean_error = np.maximum(se["x"] / n, running_error) + 2 * u * np.abs(m) + 2 * flush
    var_error = (
        mean_error**2 * (1 + n * u)  # the sum about a wrong centre; its terms may all be rounded alike
        + se["dd"] / n
        + 6 * u * (v + mean_error**2)
        + running_var_error
        + 2 * flush
    )
    r, p = _scale(v, var_error, eps, eps_at, u)
    dgamma = np.sum(dy64 * xh, axis=0)
    dgamma_error = _dgamma_error(x64, dy64, m, mean_error, r, p, xh, dgamma, se, precision)
    return {
        "y": _y_error(x64, m, mean_error, r, p, xh, gamma, beta, precision),
        "dx": _dx_error(x64, dy64, m, mean_error, v, var_error, r, p, xh, dgamma, dgamma_error, se,
                        gamma, eps, eps_at, precision),
        "dgamma": dgamma_error,
        "dbeta": se["dy"] + u * np.abs(dy64.sum(axis=0)) + n * flush,
        "mean": mean_error,
        "var": var_error,
    }  # fmt: skip


def moving_bound(
    previous_bound: ArrayLike, moving: ArrayLike, statistic: ArrayLike, statistic_bound: ArrayLike,
    keep_weight: float, new_weight: float, precision: Precision,
) -> Array:  # fmt: skip
    """Bound of keep*moving + new*statistic, given the errors of both; everything (C,) or a number.

    Covers the evaluation moving + new*(statistic - moving), weights that were rounded (float32(0.9) and
    1 - float32(0.9)), and Bessel's factor multiplied in by the implementation.
    """
    u = precision.work
    old, new = _float64(moving), _float64(statistic)
    keep, weight = abs(keep_weight), abs(new_weight)
    rounded_weights = (keep + weight) * (np.abs(old) + np.abs(new))  # 1 - fl(w) errs by u w, whatever 1 - w is
    two_products = keep * np.abs(old) + weight * np.abs(new)
    increment = weight * np.abs(new - old)
    result = np.abs(keep_weight * old + new_weight * new)
    own = rounded_weights + 2 * np.maximum(two_products, increment) + result + 2 * weight * np.abs(new)
    inherited = keep * _float64(previous_bound) + weight * _float64(statistic_bound)
    return _float64((1 + 8 * u) * inherited + u * own + 4 * precision.flush)


def eval_bounds(
    x: NDArray[Any], dy: NDArray[Any], gamma: ArrayLike, beta: ArrayLike, moving_mean: ArrayLike,
    moving_var: ArrayLike, eps: float, precision: Precision, moving_mean_bound: ArrayLike = 0.0,
    moving_var_bound: ArrayLike = 0.0, eps_at: str = "inside_sqrt",
) -> Bounds:  # fmt: skip
    """Bounds in prediction mode: as `train_bounds`, with moving statistics (C,) that bring their own errors.

    Returns y, dx (n, C); dgamma, dbeta (C,).
    """
    n, channels = x.shape
    if n == 0:
        return _nothing(channels, ("y", "dx"), ("dgamma", "dbeta"))
    u, flush = precision.work, precision.flush
    d = _float64(x - np.asarray(moving_mean))
    x64, dy64 = _float64(x), _float64(dy)
    m, v, mean_error, var_error = (
        np.broadcast_to(_float64(a), (channels,))
        for a in (moving_mean, moving_var, moving_mean_bound, moving_var_bound)
    )
    r, p = _scale(v, var_error, eps, eps_at, u)
    xh = d * r
    se = dict(zip(("dy", "dy_xh", "dy_x"), _sum_errors(u, dy64, dy64 * xh, dy64 * x64), strict=True))
    dgamma = np.sum(dy64 * xh, axis=0)
    dx = np.abs(_float64(gamma) * dy64 * r)
    dx_error = dx * (p + 2 * u) + 4 * flush * (1 + np.abs(_float64(gamma))) * (1 + r) * (1 + np.abs(dy64))
    return {
        "y": _y_error(x64, m, mean_error, r, p, xh, gamma, beta, precision),
        "dx": _stored(dx, dx_error, precision),
        "dgamma": _dgamma_error(x64, dy64, m, mean_error, r, p, xh, dgamma, se, precision),
        "dbeta": se["dy"] + u * np.abs(dy64.sum(axis=0)) + n * flush,
    }


def _scale(v: Array, v_error: Array, eps: float, eps_at: str, u: float) -> tuple[Array, Array]:
    """r = 1/sqrt(v + eps) or 1/(sqrt(v) + eps), and p >= |computed r / r - 1|.

    An honest variance is never negative, so r never exceeds 1/sqrt(eps), however wrong v is. Four roundings: eps,
    the addition, the root, the division (the first two count half inside the root).
    """
    low, high = np.maximum(v - v_error, np.minimum(v, 0)), v + v_error
    at_v, at_low, at_high = (_denominator(a, eps, eps_at) for a in (v, low, high))
    with np.errstate(divide="ignore", invalid="ignore"):
        p = np.maximum(at_v / at_low - 1, 1 - at_v / at_high) + 4 * u
        return 1 / at_v, np.where(np.isnan(p), np.inf, p)


def _denominator(v: Array, eps: float, eps_at: str) -> Array:
    if eps_at == "inside_sqrt":
        return np.sqrt(v + eps)
    if eps_at == "outside_sqrt":
        return np.sqrt(v) + eps
    raise ValueError(f"eps_at is {eps_at!r}; supported: inside_sqrt, outside_sqrt")


def _y_error(
    x: Array, m: Array, mean_error: Array, r: Array, p: Array, xh: Array, gamma: ArrayLike, beta: ArrayLike,
    precision: Precision,
) -> Array:  # fmt: skip
    """y = gamma xh + beta: the error of xh, then that of x*scale + shift (which the plain form stays below)."""
    u, flush = precision.work, precision.flush
    gamma, beta = _float64(gamma), _float64(beta)
    y = np.abs(gamma * xh + beta)
    xh_error = _xh_error(x, m, mean_error, r, p, xh, u)
    error = np.abs(gamma) * xh_error + u * (np.abs(beta) + y)
    error += flush * (2 + np.abs(gamma) + np.abs(x) + np.abs(m))
    return _stored(y, error, precision)


def _xh_error(x: Array, m: Array, mean_error: Array, r: Array, p: Array, xh: Array, u: float) -> Array:
    """(x - m) r with m and r in error, or x r - m r, whose two products are each rounded."""
    affine = u * r * (np.abs(x) + 2 * np.abs(m) + 2 * mean_error)
    return (1 + p) * (r * mean_error + affine) + np.abs(xh) * (p + 2 * u * (1 + p))


def _dgamma_error(
    x: Array, dy: Array, m: Array, mean_error: Array, r: Array, p: Array, xh: Array, dgamma: Array,
    se: Mapping[str, Array], precision: Precision,
) -> Array:  # fmt: skip
    """dgamma = sum(dy xh) or r (sum(dy x) - m sum(dy)): products, sums and the common errors of m and r."""
    u, n = precision.work, len(x)
    dy_sum, dy_abs = np.abs(dy.sum(axis=0)), np.abs(dy).sum(axis=0)
    common = mean_error * dy_sum
    plain = se["dy_xh"] + 4 * u * np.abs(dy * xh).sum(axis=0) + n * u * r * mean_error * dy_abs
    affine = u * (np.abs(x) + 2 * np.abs(m) + 2 * mean_error)
    regrouped = (
        se["dy_x"] + (np.abs(m) + mean_error) * (se["dy"] + 2 * u * dy_sum) + np.sum(affine * np.abs(dy), axis=0)
    )
    tiny = 2 * n * precision.flush * (1 + r) * (1 + np.abs(m))
    return (1 + p) * (r * (common + regrouped) + plain) + (p + 2 * u) * np.abs(dgamma) + tiny


def _dx_error(
    x: Array, dy: Array, m: Array, mean_error: Array, v: Array, v_error: Array, r: Array, p: Array, xh: Array,
    dgamma: Array, dgamma_error: Array, se: Mapping[str, Array], gamma: ArrayLike, eps: float, eps_at: str,
    precision: Precision,
) -> Array:  # fmt: skip
    """dx = gamma r (dy - mean(dy) - xh c), c = mean(dy xh), in any grouping, or autodiff through m and v."""
    u, flush, n = precision.work, precision.flush, len(x)
    gamma = np.abs(_float64(gamma))
    safe = np.where(gamma > 0, gamma, 1.0)
    dy_mean, dy_mean_error = dy.mean(axis=0), np.maximum(se["dy"], se["upstream_r"] / (safe * r)) / n
    c, c_error = dgamma / n, np.maximum(dgamma_error, (1 + p) * r * se["upstream_d"] / safe) / n
    if eps_at == "outside_sqrt":
        c, c_error = _outside_sqrt(v, v_error, r, c, c_error, np.sqrt(np.mean(dy * dy, axis=0)), eps)
    xh_error = _xh_error(x, m, mean_error, r, p, xh, u)
    through_mean = (1 + p) * 2 * r * mean_error  # autodiff adds c * mean(x - m), 0 on paper
    inner = np.abs(dy) + np.abs(dy_mean) + np.abs(xh * c)
    error = (
        4 * u * inner
        + dy_mean_error
        + (xh_error + through_mean) * np.abs(c)
        + (np.abs(xh) + xh_error + through_mean) * c_error
    )
    dx = gamma * r * np.abs(dy - dy_mean - xh * c)
    tiny = 4 * flush * (1 + gamma) * (1 + r) ** 3 * (1 + inner)
    return _stored(dx, gamma * r * (1 + p) * error + p * dx + tiny, precision)


def _outside_sqrt(
    v: Array, v_error: Array, r: Array, c: Array, c_error: Array, dy_rms: Array, eps: float
) -> tuple[Array, Array]:
    """With eps outside the root, c gets the factor f = (s + eps)/s, s = sqrt(v), which is steep near s = 0.

    Where s may be 0, Cauchy's inequality still keeps f c below the RMS of dy.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        s, s_low = np.sqrt(v), np.sqrt(np.maximum(v - v_error, 0))
        f, f_high = (s + eps) / s, (s_low + eps) / s_low
        exact = np.where(s > 0, f * c, 0.0)
        error = f_high * c_error + (f_high - f) * np.abs(c)
    return exact, np.fmin(error, np.abs(exact) + 2 * dy_rms)


def _running(d: Array, m: Array, v: Array, u: float) -> tuple[Array, Array]:
    """Welford, in the order of the rows: bounds of the mean's error and of what it does to the variance, both (C,).

    Row k moves the mean by delta_k / k and rounds it, an error of u |m_k| that weighs k/n in the end. The rounding
    is a function of delta_k / k alone, and on evenly spaced data the same at every step. The sum of squares takes
    (x_k - m_(k-1)) (x_k - m_k), so the error of a running mean enters it twice, times delta_k; where the deltas
    change sign that averages out, where they drift one way (sorted data) it does not.
    """
    n = len(d)
    if n < 2:
        return np.zeros(m.shape), np.zeros(m.shape)
    k = np.arange(2, n + 1)[:, None]
    running = np.cumsum(d, axis=0)
    delta = d[1:] - running[:-1] / (k - 1)
    partial_sum = running[1:] + k * m
    rounded = np.abs(partial_sum) + 2 * np.abs(delta)
    last_place = np.ldexp(u, np.frexp(partial_sum / k)[1])
    quotient = delta / k / np.where(last_place > 0, last_place, 1.0)
    bias = np.abs(np.cumsum(k * last_place * (np.rint(quotient) - quotient), axis=0))
    statistical = CLUSTER_CONSTANT * u * np.sqrt(np.cumsum(rounded**2, axis=0))
    statistical += RUNNING_BIAS_CONSTANT * np.maximum.accumulate(bias, axis=0)
    error = np.minimum(u * np.cumsum(rounded, axis=0), statistical) / k
    drift = np.abs(np.cumsum(delta, axis=0)).max(axis=0) / n
    return error[-1], error.max(axis=0) * (2 * drift + np.sqrt(v / n))


def _sum_errors(u: float, *terms: Array) -> Array:
    """`summation_error` of several (n, C) arrays in one call, (len(terms), C)."""
    return summation_error(np.ascontiguousarray(np.stack(terms).transpose(0, 2, 1)), u)


def _stored(value: Array, error: Array, precision: Precision) -> Array:
    """The error once the result, computed in the working dtype, is rounded to a narrower one."""
    if precision.io == precision.work:
        return error
    return error + precision.io * (value + error) + precision.io_tiny


def _float64(a: ArrayLike) -> Array:
    return np.asarray(a).astype(np.float64)


def _nothing(channels: int, per_value: tuple[str, ...], per_channel: tuple[str, ...]) -> Bounds:
    """An empty batch has nothing to be wrong about."""
    return {k: np.zeros((0, channels)) for k in per_value} | {k: np.zeros(channels) for k in per_channel}
