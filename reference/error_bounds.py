"""How large a rounding error an honest batch norm may make, for each observable, from the data alone.

`error <= bound` holds for every honest algorithm; ERROR_BOUNDS.md says which these are, and proves it. The formulas
of a layer are written out here with quantities that carry their error (quantity.py); where algorithms differ, the
bound is the greatest of theirs. Notation, a channel at a time: m, v the exact batch statistics, d = x - m,
r = 1/sqrt(v + eps), xh = d r; u = Precision.work.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reference.quantity import Arithmetic, Quantity
from reference.statistics_error import Batch, denominator, less_the_mean, scale_error, statistics_errors

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
        """The smallest normal number: below it, some libraries flush to zero."""
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


# NaN or Inf in a channel makes the bounds of that channel NaN or Inf, and of no other.
quietly = np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore")


@quietly
def train_bounds(
    x: NDArray[Any], dy: NDArray[Any], gamma: ArrayLike, beta: ArrayLike, eps: float, precision: Precision,
    eps_at: str = "inside_sqrt", extra_var_error: ArrayLike = 0.0, summation: str = "any",
) -> Bounds:  # fmt: skip
    """Bounds of one training step. x, dy (n, C) in extended precision; gamma, beta (C,).

    extra_var_error (C,): a further error of the variance, for algorithms that are not honest. summation: how the
    layer adds, one of `summation_error.SUMMATIONS`.
    Returns float64: y, dx (n, C); dgamma, dbeta, mean, var (C,), the last two of the biased batch statistics.
    Raises ValueError for an unknown eps_at or summation. ERROR_BOUNDS.md, sections 4 to 9.
    """
    n, channels = x.shape
    if n == 0:
        return _nothing(channels, ("y", "dx"), ("dgamma", "dbeta", "mean", "var"))
    layer, batch, m_error, v_error = layer_of_batch(
        x, dy, gamma, beta, eps, precision, eps_at, extra_var_error, summation
    )
    per_std, bounded = (None, True) if eps_at == "inside_sqrt" else slope_of_root(layer, batch.var, v_error, eps)
    return {
        "y": stored(y_forms(layer), precision),
        "dx": np.where(bounded, stored(dx_forms(layer, per_std), precision), np.inf),
        "dgamma": _bound(layer.dgamma),
        "dbeta": _bound(layer.sum_dy),
        "mean": m_error,
        "var": v_error,
    }


@quietly
def eval_bounds(
    x: NDArray[Any], dy: NDArray[Any], gamma: ArrayLike, beta: ArrayLike, moving_mean: ArrayLike,
    moving_var: ArrayLike, eps: float, precision: Precision, moving_mean_bound: ArrayLike = 0.0,
    moving_var_bound: ArrayLike = 0.0, eps_at: str = "inside_sqrt", summation: str = "any",
) -> Bounds:  # fmt: skip
    """Bounds in prediction mode: as `train_bounds`, with moving statistics (C,) that bring their own errors.

    Returns float64: y, dx (n, C); dgamma, dbeta (C,). ERROR_BOUNDS.md, section 11.
    """
    n, channels = x.shape
    if n == 0:
        return _nothing(channels, ("y", "dx"), ("dgamma", "dbeta"))
    layer = layer_of_statistics(
        x, dy, gamma, beta, eps, precision, eps_at,
        (moving_mean, moving_var), (moving_mean_bound, moving_var_bound), summation,
    )  # fmt: skip
    dx = layer.gamma * layer.r * layer.dy
    return {
        "y": stored(y_forms(layer), precision),
        "dx": stored([dx, layer.gamma * layer.dy * layer.r], precision),
        "dgamma": _bound(layer.dgamma),
        "dbeta": _bound(layer.sum_dy),
    }


@quietly
def moving_bound(
    previous_bound: ArrayLike, moving: ArrayLike, statistic: ArrayLike, statistic_bound: ArrayLike,
    keep_weight: float, new_weight: float, precision: Precision,
) -> Array:  # fmt: skip
    """Bound of keep*moving + new*statistic, float64 (C,), given the bounds of both; arguments (C,) or numbers.

    Covers old + new*(statistic - old) and statistic - keep*(statistic - old), and weights of which one is rounded and
    the other 1 minus it, or both are. ERROR_BOUNDS.md, section 10.
    """
    u, flush = precision.work, precision.flush
    old, new = float64(moving), float64(statistic)
    keep, weight = abs(keep_weight), abs(new_weight)
    own_old, own_new = float64(previous_bound), float64(statistic_bound)
    inherited = keep * own_old + weight * own_new
    apart = np.abs(new - old) + own_old + own_new
    old_size, new_size = np.abs(old) + own_old, np.abs(new) + own_new
    result = np.abs(keep_weight * old + new_weight * new) + inherited
    weights = max(keep, weight) * apart + keep * old_size + weight * new_size
    products = np.maximum(keep * old_size + weight * new_size, 2 * max(keep, weight) * apart)
    return float64(inherited + u * (1 + 8 * u) * (weights + products + result) + 4 * flush)


# --- the formulas ---


def layer_of_batch(
    x: NDArray[Any], dy: NDArray[Any], gamma: ArrayLike, beta: ArrayLike, eps: float, precision: Precision,
    eps_at: str, extra_var_error: ArrayLike, summation: str,
) -> tuple[Layer, Batch, Array, Array]:  # fmt: skip
    """What training computes with: the layer, its batch, and the bounds (C,) of mean and variance."""
    u, flush = precision.work, precision.flush
    mean = x.mean(axis=0)
    mean = mean + (x - mean).mean(axis=0)
    d = float64(x - mean)  # formed before the cast: d keeps its digits where |m| is much larger
    batch = Batch(float64(x), d, float64(mean), np.mean(d * d, axis=0))
    m_error, v_error = statistics_errors(batch, u, flush, summation)
    v_error = v_error + float64(extra_var_error)
    arithmetic = Arithmetic(u, flush, m_error, scale_error(batch.var, v_error, eps, eps_at, u), summation)
    root = denominator(batch.var, eps, eps_at)
    layer = Layer.of(arithmetic, batch, float64(dy), float64(gamma), float64(beta), root)
    return layer, batch, m_error, v_error


def layer_of_statistics(
    x: NDArray[Any], dy: NDArray[Any], gamma: ArrayLike, beta: ArrayLike, eps: float, precision: Precision,
    eps_at: str, moving: tuple[ArrayLike, ArrayLike], moving_bounds: tuple[ArrayLike, ArrayLike], summation: str,
) -> Layer:  # fmt: skip
    """What prediction computes with, by the moving (mean, variance) (C,), which are off by their bounds at most."""
    channels, u, flush = x.shape[1], precision.work, precision.flush
    m, v, m_error, v_error = (np.broadcast_to(float64(a), (channels,)) for a in (*moving, *moving_bounds))
    batch = Batch(float64(x), float64(x - np.asarray(moving[0])), m, v)
    arithmetic = Arithmetic(
        u,
        flush,
        m_error + _read_as_zero(m, flush),
        scale_error(v, v_error + _read_as_zero(v, flush), eps, eps_at, u),
        summation,
    )
    return Layer.of(arithmetic, batch, float64(dy), float64(gamma), float64(beta), denominator(v, eps, eps_at))


@dataclass(frozen=True)
class Layer:
    """The quantities that the formulas are made of: x, dy, d (n, C); gamma, beta, m, r (C,)."""

    x: Quantity
    dy: Quantity
    gamma: Quantity
    beta: Quantity
    m: Quantity
    r: Quantity
    d: Quantity
    """x - m, as it is computed."""
    d_regrouped: Quantity
    """x s - m s over s, whatever s is: its two products are rounded, and what is added to them. Never better than d."""

    @classmethod
    def of(cls, arithmetic: Arithmetic, batch: Batch, dy: Array, gamma: Array, beta: Array, root: Array) -> Layer:
        exact, u = arithmetic.exact, arithmetic.unit
        x, r = exact(batch.x), 1 / root
        m = Quantity(batch.mean, arithmetic, mean=np.ones_like(r))
        products = u * (1 + 8 * u) * (np.abs(batch.x) + 2 * m_size(m))
        regrouped = Quantity(batch.d, arithmetic, mean=-np.ones_like(r), rest=x.rest + products + 2 * arithmetic.flush)
        scale = Quantity(r, arithmetic, scale=r, rest=arithmetic.flush)
        return cls(
            x, exact(dy), exact(gamma), exact(beta), m, scale,
            less_the_mean(batch, arithmetic, x.rest), arithmetic.rounded(regrouped),
        )  # fmt: skip

    @cached_property
    def sum_dy(self) -> Quantity:
        return self.dy.sum()

    @cached_property
    def sum_dy_x(self) -> Quantity:
        return (self.dy * self.x).sum()

    @cached_property
    def dgamma(self) -> Quantity:
        """sum(dy xh), xh as x r - m r; or r (sum(dy x) - m sum(dy)). No other grouping rounds more than both."""
        m, r = self.m, self.r
        if r.arithmetic.summation != "any":
            return self.dgamma_of_centred
        by_xh = (self.dy * (self.d_regrouped * r)).sum()
        regrouped = self.sum_dy_x * r - (self.sum_dy * m) * r
        return by_xh.or_worse(regrouped)

    @cached_property
    def dgamma_of_centred(self) -> Quantity:
        """sum(dy (d/std)), or r sum(dy d), d = x - m: what a layer that declares its sums says that it computes."""
        return (self.dy * divided(self.d, self.r)).sum().or_worse((self.dy * self.d).sum() * self.r)


def divided(a: Quantity, r: Quantity) -> Quantity:
    """a over the inverse of r: a division within an ulp."""
    return r.arithmetic.rounded(a.exact_product(r), 2.0)


def m_size(m: Quantity) -> Array:
    return np.abs(m.value) + m.radius


def y_forms(layer: Layer) -> list[Quantity]:
    """gamma (x r - m r) + beta, which no grouping of (x - m) r exceeds, and x scale + (beta - m scale)."""
    g, b, x, m, r = layer.gamma, layer.beta, layer.x, layer.m, layer.r
    scale = as_one_error(g * r)
    return [g * (x * r - m * r) + b, x * scale + (b - m * scale), (layer.d * r) * g + b, layer.d * (g * r) + b]


def as_one_error(scale: Quantity) -> Quantity:
    """A product of r, whose whole error is common to the channel, as a dependence on r's error in its place."""
    p = scale.arithmetic.scale_error
    return Quantity(scale.value, scale.arithmetic, scale=scale.radius / p, rest=0.0 * scale.value)


def dx_forms(layer: Layer, per_std: Quantity | None) -> list[Quantity]:
    """The closed form of Ioffe and Szegedy 2015, section 3, grouped anyhow; and reverse mode through mean and var.

    per_std: the factor of the third term where eps is outside the root; see `slope_of_root`.
    """
    n = len(layer.x.value)
    g, dy, r = layer.gamma, layer.dy, layer.r
    c = layer.dgamma.over(n)  # mean(dy xh)
    if per_std is not None:
        c = c * per_std
    scale = g * r
    xh = layer.d_regrouped * r
    closed = scale * dy - scale * layer.sum_dy.over(n) - xh * (scale * c)
    return [closed, reverse_mode(layer, n, per_std)]


def reverse_mode(layer: Layer, n: int, per_std: Quantity | None) -> Quantity:
    """dx by way of dr, dv and dm, as autodiff does it.

    For y = gamma (x - m) r + beta or x scale + shift; and for y = gamma (x - m)/std + beta, which divides each value,
    within an ulp, in the sum as well.
    """
    g, r, d = layer.gamma, layer.r, layer.d
    upstream = g * layer.dy
    dr = (upstream * d).sum().or_worse((layer.sum_dy_x - layer.m * layer.sum_dy) * g)
    by_products = dr * (r * r * r).times(-0.5)
    by_quotients = (upstream * divided(divided(d, r), r)).sum() * r.times(-0.5)
    dv = r.arithmetic.rounded(by_products.or_worse(by_quotients), 6.0)  # six more for the other ways to get r^3
    return through_statistics(layer, dv, divided(upstream, r), n, per_std)


def through_statistics(
    layer: Layer, dv: Quantity, through_x: Quantity, n: int, per_std: Quantity | None
) -> Quantity:  # fmt: skip
    """dx from the gradient of the variance and from what comes through x - m alone."""
    if per_std is not None:
        dv = dv * per_std
    through_v = layer.d * dv.over(n).times(2.0)
    both = through_x + through_v
    dm = (through_x.sum() + through_v.sum()).or_worse(both.sum())  # two sums, or their terms are added first
    return both - dm.over(n)


def slope_of_root(layer: Layer, v: Array, v_error: Array, eps: float) -> tuple[Quantity, NDArray[np.bool_]]:
    """(sqrt(v) + eps)/sqrt(v): with eps outside the root, dr/dv = -r^2/(2 sqrt(v)) and not -r^3/2.

    Second, where it has a bound at all: not where the variance may be 0. ERROR_BOUNDS.md, section 9.
    """
    u = layer.r.arithmetic.unit
    s, s_low, s_high = np.sqrt(v), np.sqrt(np.maximum(v - v_error, 0)), np.sqrt(v + v_error)
    slope = (s + eps) / s
    share = np.maximum((s_low + eps) / s_low / slope - 1, 1 - (s_high + eps) / s_high / slope) + 8 * u
    bounded = ~(s_low <= 0)
    slope, rest = np.where(bounded, slope, 1.0), np.where(bounded, slope * share, 0.0)
    return Quantity(slope, layer.r.arithmetic, rest=rest), bounded


# --- from quantities to bounds ---


def _bound(quantity: Quantity) -> Array:
    return float64(quantity.radius)


def stored(forms: list[Quantity], precision: Precision) -> Array:
    """The greatest error of the forms, once the result is rounded to a narrower dtype, where x has one."""
    error: Array = np.max([_bound(form) for form in forms], axis=0)
    if precision.io == precision.work:
        return error
    return error + precision.io * (np.abs(forms[0].value) + error) + precision.io_tiny


def _read_as_zero(statistic: Array, flush: float) -> Array:
    """Below the smallest normal number a statistic may be taken for zero."""
    return np.where(np.abs(statistic) < flush, np.abs(statistic), 0.0)


def float64(a: ArrayLike) -> Array:
    return np.asarray(a).astype(np.float64)


def _nothing(channels: int, per_value: tuple[str, ...], per_channel: tuple[str, ...]) -> Bounds:
    """The bounds of an empty batch: all zero."""
    return {k: np.zeros((0, channels)) for k in per_value} | {k: np.zeros(channels) for k in per_channel}
