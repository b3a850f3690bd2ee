"""How large a rounding error an honest batch norm may make, for each observable, from the data alone.

`error <= bound` holds for every honest algorithm: a two-pass, Welford or Chan variance, sums in any order,
x*scale + shift, autodiff or the closed form backward. E[x^2] - E[x]^2 is not one. ERROR_BOUNDS.md derives
each line and says which constants are proved. Notation, a channel at a time: m, v the exact batch statistics,
d = x - m, r = 1/sqrt(v + eps), xh = d r; u = Precision.work. A name that ends in _error is a bound of an
absolute error; p is one of r's relative error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reference.summation_error import running_mean_error, summation_error

Array = NDArray[np.float64]
Bounds = dict[str, Array]


@dataclass(frozen=True)
class Precision:
    """The arithmetic that is judged. All numbers are absolute values, without unit."""

    work: float  # unit roundoff of parameters, statistics, accumulation
    io: float  # unit roundoff of x, y, dx: that of `work` unless these have 16 bits
    work_tiny: float  # smallest subnormal number of the working dtype
    io_tiny: float  # smallest subnormal number of x, y, dx

    @property
    def flush(self) -> float:
        """The smallest normal number: below it, some libraries flush to zero. At 1e-38 it hides nothing."""
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
    """The precision of a batch norm whose x has this dtype (16-bit x: all else is float32). Raises ValueError."""
    if dtype not in PRECISIONS:
        raise ValueError(f"no error bound for dtype {dtype!r}; supported: {', '.join(PRECISIONS)}")
    return PRECISIONS[dtype]


@dataclass(frozen=True)
class _Exact:
    """The numbers without rounding error: x, dy, xh are (n, C), the rest (C,)."""

    x: Array
    dy: Array
    xh: Array
    gamma: Array
    beta: Array
    m: Array
    v: Array
    r: Array


@dataclass(frozen=True)
class _Errors:
    """Bounds, (C,): of m and v absolute, of r relative (p), of the sums by name of what is summed."""

    m: Array
    v: Array
    p: Array
    sums: Mapping[str, Array]


# NaN or Inf in a channel makes the bounds of that channel NaN or Inf, and of no other.
_quietly = np.errstate(divide="ignore", invalid="ignore", over="ignore")


@_quietly
def train_bounds(
    x: NDArray[Any], dy: NDArray[Any], gamma: ArrayLike, beta: ArrayLike, eps: float, precision: Precision,
    eps_at: str = "inside_sqrt", extra_var_error: ArrayLike = 0.0, summation: str = "any",  # noqa: ARG001
) -> Bounds:  # fmt: skip
    """Bounds of one training step. x, dy (n, C) in extended precision; gamma, beta (C,).

    extra_var_error (C,): a further error of the variance, for algorithms that are not honest.
    summation: "any", or what the sums are known to be, "pairwise" or "wide"; so far all are bounded as "any".
    Returns float64: y, dx (n, C); dgamma, dbeta, mean, var (C,), the last two of the biased batch statistics.
    Raises ValueError for an unknown eps_at. ERROR_BOUNDS.md, sections 3 to 8.
    """
    n, channels = x.shape
    if n == 0:
        return _nothing(channels, ("y", "dx"), ("dgamma", "dbeta", "mean", "var"))
    u, flush = precision.work, precision.flush
    mean = x.mean(axis=0)
    mean = mean + (x - mean).mean(axis=0)
    d = _float64(x - mean)  # formed before the cast: d keeps its digits where |m| is much larger
    v = np.mean(d * d, axis=0)
    r = 1 / _denominator(v, eps, eps_at)
    exact = _Exact(_float64(x), _float64(dy), d * r, _float64(gamma), _float64(beta), _float64(mean), v, r)
    upstream = exact.gamma * exact.dy  # autodiff sums these, in part times r: other roundings
    sums = _sum_errors(
        u, x=exact.x, dd=d * d, dy=exact.dy, dy_x=exact.dy * exact.x, dy_xh=exact.dy * exact.xh,
        upstream_r=upstream * r, upstream_d=upstream * d,
    )  # fmt: skip
    running_error, running_var_error = running_mean_error(d, exact.m, u)
    mean_error = np.maximum(sums["x"] / n, running_error) + 2 * u * np.abs(exact.m) + 2 * flush
    var_error = (
        mean_error**2 * (1 + n * u)  # the sum about a wrong centre; its terms may all be rounded alike
        + sums["dd"] / n
        + 6 * u * (v + mean_error**2)
        + running_var_error
        + 2 * flush
        + _float64(extra_var_error)
    )
    errors = _Errors(mean_error, var_error, _scale_error(v, var_error, eps, eps_at, u), sums)
    return {
        "y": _y_error(exact, errors, precision),
        "dx": _dx_error(exact, errors, precision, eps, eps_at),
        "dgamma": _dgamma_error(exact, errors, precision),
        "dbeta": _dbeta_error(exact, errors, precision),
        "mean": mean_error,
        "var": var_error,
    }


@_quietly
def moving_bound(
    previous_bound: ArrayLike, moving: ArrayLike, statistic: ArrayLike, statistic_bound: ArrayLike,
    keep_weight: float, new_weight: float, precision: Precision,
) -> Array:  # fmt: skip
    """Bound of keep*moving + new*statistic, float64 (C,), given the bounds of both; arguments (C,) or numbers.
    Covers the evaluation moving + new*(statistic - moving), weights that were rounded (float32(0.9) and
    1 - float32(0.9)), and Bessel's factor multiplied in by the implementation. ERROR_BOUNDS.md, section 9.
    """
    u = precision.work
    old, new = _float64(moving), _float64(statistic)
    keep, weight = abs(keep_weight), abs(new_weight)
    rounded_weights = (keep + weight) * (np.abs(old) + np.abs(new))  # 1 - fl(w) errs by u w
    two_products = keep * np.abs(old) + weight * np.abs(new)
    increment = weight * np.abs(new - old)
    result = np.abs(keep_weight * old + new_weight * new)
    own = rounded_weights + 2 * np.maximum(two_products, increment) + result + 2 * weight * np.abs(new)
    inherited = keep * _float64(previous_bound) + weight * _float64(statistic_bound)
    return _float64((1 + 8 * u) * inherited + u * own + 4 * precision.flush)


@_quietly
def eval_bounds(
    x: NDArray[Any], dy: NDArray[Any], gamma: ArrayLike, beta: ArrayLike, moving_mean: ArrayLike,
    moving_var: ArrayLike, eps: float, precision: Precision, moving_mean_bound: ArrayLike = 0.0,
    moving_var_bound: ArrayLike = 0.0, eps_at: str = "inside_sqrt", summation: str = "any",  # noqa: ARG001
) -> Bounds:  # fmt: skip
    """Bounds in prediction mode: as `train_bounds`, with moving statistics (C,) that bring their own errors.

    Returns float64: y, dx (n, C); dgamma, dbeta (C,). ERROR_BOUNDS.md, section 10.
    """
    n, channels = x.shape
    if n == 0:
        return _nothing(channels, ("y", "dx"), ("dgamma", "dbeta"))
    u = precision.work
    m, v, mean_error, var_error = (
        np.broadcast_to(_float64(a), (channels,))
        for a in (moving_mean, moving_var, moving_mean_bound, moving_var_bound)
    )
    r = 1 / _denominator(v, eps, eps_at)
    xh = _float64(x - np.asarray(moving_mean)) * r
    exact = _Exact(_float64(x), _float64(dy), xh, _float64(gamma), _float64(beta), m, v, r)
    sums = _sum_errors(u, dy=exact.dy, dy_x=exact.dy * exact.x, dy_xh=exact.dy * xh)
    errors = _Errors(mean_error, var_error, _scale_error(v, var_error, eps, eps_at, u), sums)
    dx = np.abs(exact.gamma * exact.dy * r)
    tiny = 4 * precision.flush * (1 + np.abs(exact.gamma)) * (1 + r) * (1 + np.abs(exact.dy))
    return {
        "y": _y_error(exact, errors, precision),
        "dx": _stored(dx, dx * (errors.p + 2 * u) + tiny, precision),
        "dgamma": _dgamma_error(exact, errors, precision),
        "dbeta": _dbeta_error(exact, errors, precision),
    }


def _denominator(v: Array, eps: float, eps_at: str) -> Array:
    if eps_at == "inside_sqrt":
        return np.sqrt(v + eps)
    if eps_at == "outside_sqrt":
        return np.sqrt(v) + eps
    raise ValueError(f"eps_at is {eps_at!r}; supported: inside_sqrt, outside_sqrt")


def _scale_error(v: Array, v_error: Array, eps: float, eps_at: str, u: float) -> Array:
    """p >= |computed r / r - 1|, where r = 1/sqrt(v + eps) or 1/(sqrt(v) + eps).

    An honest variance is never negative, so r never exceeds 1/sqrt(eps), however wrong v is. The six u are
    four roundings (eps, the addition, the root, the division), or those of eps and the addition, which the
    root halves, and a reciprocal root that is good to 2 ulps.
    """
    low, high = np.maximum(v - v_error, np.minimum(v, 0)), v + v_error
    at_v, at_low, at_high = (_denominator(a, eps, eps_at) for a in (v, low, high))
    p: Array = np.maximum(at_v / at_low - 1, 1 - at_v / at_high) + 6 * u
    return p


def _xh_error(exact: _Exact, errors: _Errors, u: float) -> Array:
    """(x - m) r with m and r in error, or x r - m r, whose two products are each rounded."""
    r, p = exact.r, errors.p
    affine = u * r * (np.abs(exact.x) + 2 * np.abs(exact.m) + 2 * errors.m)
    error: Array = (1 + p) * (r * errors.m + affine) + np.abs(exact.xh) * (p + 2 * u * (1 + p))
    return error


def _y_error(exact: _Exact, errors: _Errors, precision: Precision) -> Array:
    """y = gamma xh + beta: the error of xh, then of x*scale + shift (the plain form stays below that)."""
    u, gamma = precision.work, np.abs(exact.gamma)
    y = np.abs(exact.gamma * exact.xh + exact.beta)
    error = gamma * _xh_error(exact, errors, u) + u * (np.abs(exact.beta) + y)
    tiny = precision.flush * (2 + gamma + np.abs(exact.x) + np.abs(exact.m))
    return _stored(y, error + tiny, precision)


def _dbeta_error(exact: _Exact, errors: _Errors, precision: Precision) -> Array:
    dbeta = np.abs(exact.dy.sum(axis=0))
    error: Array = errors.sums["dy"] + precision.work * dbeta + len(exact.dy) * precision.flush
    return error


def _dgamma_error(exact: _Exact, errors: _Errors, precision: Precision) -> Array:
    """dgamma = sum(dy xh) or r (sum(dy x) - m sum(dy)): sums, products, and m and r, wrong for all alike."""
    x, dy, m, r, p = exact.x, exact.dy, np.abs(exact.m), exact.r, errors.p
    sums, u, n = errors.sums, precision.work, len(exact.x)
    dy_sum, dy_xh = np.abs(dy.sum(axis=0)), dy * exact.xh
    wrong_mean = errors.m * dy_sum
    plain = sums["dy_xh"] + u * (4 * np.abs(dy_xh) + n * r * errors.m * np.abs(dy)).sum(axis=0)
    regrouped = sums["dy_x"] + (m + errors.m) * (sums["dy"] + 2 * u * dy_sum)
    regrouped += u * np.sum((np.abs(x) + 2 * m + 2 * errors.m) * np.abs(dy), axis=0)
    tiny = 2 * n * precision.flush * (1 + r) * (1 + m)
    error: Array = (1 + p) * (r * (wrong_mean + regrouped) + plain) + tiny
    error += (p + 2 * u) * np.abs(dy_xh.sum(axis=0))
    return error


def _dx_error(exact: _Exact, errors: _Errors, precision: Precision, eps: float, eps_at: str) -> Array:
    """dx = gamma r (dy - mean(dy) - xh c), c = mean(dy xh), in any grouping, or autodiff through m and v."""
    dy, xh, r, p = exact.dy, np.abs(exact.xh), exact.r, errors.p
    u, n, gamma = precision.work, len(dy), np.abs(exact.gamma)
    nonzero = np.where(gamma > 0, gamma, 1.0)
    dy_mean, c = dy.mean(axis=0), np.mean(dy * exact.xh, axis=0)
    dy_mean_error = np.maximum(errors.sums["dy"], errors.sums["upstream_r"] / (nonzero * r)) / n
    by_autodiff = (1 + p) * r * errors.sums["upstream_d"] / nonzero
    c_error = np.maximum(_dgamma_error(exact, errors, precision), by_autodiff) / n
    if eps_at == "outside_sqrt":
        c, c_error = _outside_sqrt(exact, errors, c, c_error, eps)
    # Autodiff adds c mean(x - m), which is 0 on paper only.
    off_mean = _xh_error(exact, errors, u) + (1 + p) * 2 * r * errors.m
    inner = np.abs(dy) + np.abs(dy_mean) + xh * np.abs(c)
    inner_error = 4 * u * inner + dy_mean_error + off_mean * np.abs(c) + (xh + off_mean) * c_error
    dx = gamma * r * np.abs(dy - dy_mean - exact.xh * c)
    tiny = 4 * precision.flush * (1 + gamma) * (1 + r) ** 3 * (1 + inner)
    return _stored(dx, gamma * r * (1 + p) * inner_error + p * dx + tiny, precision)


def _outside_sqrt(
    exact: _Exact, errors: _Errors, c: Array, c_error: Array, eps: float
) -> tuple[Array, Array]:  # fmt: skip
    """With eps outside the root, c gets the factor f = (s + eps)/s, s = sqrt(v), which is steep near s = 0.

    Where s may be 0, Cauchy's inequality still keeps f c below the RMS of dy.
    """
    s, s_low = np.sqrt(exact.v), np.sqrt(np.maximum(exact.v - errors.v, 0))
    f, f_high = (s + eps) / s, (s_low + eps) / s_low
    with_factor = np.where(s > 0, f * c, 0.0)
    error = f_high * c_error + (f_high - f) * np.abs(c)
    dy_rms = np.sqrt(np.mean(exact.dy**2, axis=0))
    return with_factor, np.fmin(error, np.abs(with_factor) + 2 * dy_rms)


def _sum_errors(u: float, **terms: Array) -> dict[str, Array]:
    """`summation_error` of several (n, C) arrays in one call: (C,) for each name."""
    rows = np.ascontiguousarray(np.stack(list(terms.values())).transpose(0, 2, 1))
    return dict(zip(terms, summation_error(rows, u), strict=True))


def _stored(value: Array, error: Array, precision: Precision) -> Array:
    """The error once the result, computed in the working dtype, is rounded to a narrower one."""
    if precision.io == precision.work:
        return error
    return error + precision.io * (value + error) + precision.io_tiny


def _float64(a: ArrayLike) -> Array:
    return np.asarray(a).astype(np.float64)


def _nothing(channels: int, per_value: tuple[str, ...], per_channel: tuple[str, ...]) -> Bounds:
    """The bounds of an empty batch: all zero."""
    return {k: np.zeros((0, channels)) for k in per_value} | {k: np.zeros(channels) for k in per_channel}
