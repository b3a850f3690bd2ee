"""How large a rounding error an honest batch norm may make, for each observable, from the data alone.

`error <= bound` holds for every honest algorithm; ERROR_BOUNDS.md says which these are, and proves it. The formulas
of a layer are written out here with quantities that carry their error (quantity.py); where algorithms differ, the
bound is the greatest of theirs. Notation, a channel at a time: m, v the exact batch statistics, d = x - m,
r = 1/sqrt(v + eps), xh = d r; u = Precision.work.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reference.flushed_products import Lost
from reference.layer_formulas import LayerQuantities, dx_forms, slope_of_root, y_forms
from reference.quantity import Arithmetic, Quantity
from reference.statistics_error import Batch, denominator, scale_error, statistics_errors

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
    lost = Lost(layer)
    per_std, bounded = (None, True) if eps_at == "inside_sqrt" else slope_of_root(layer, batch.var, v_error, eps)
    return {
        "y": stored(y_forms(layer), precision, lost.in_y),
        "dx": np.where(bounded, stored(dx_forms(layer, per_std), precision, lost.in_dx(per_std)), np.inf),
        "dgamma": _bound(layer.dgamma) + (lost.in_dgamma if summation == "any" else 0.0),
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
    dx, lost = layer.gamma * layer.r * layer.dy, Lost(layer)
    return {
        "y": stored(y_forms(layer), precision, lost.in_y),
        "dx": stored([dx, layer.gamma * layer.dy * layer.r], precision, lost.in_prediction_dx),
        "dgamma": _bound(layer.dgamma) + (lost.in_dgamma if summation == "any" else 0.0),
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


# --- what they are computed from ---


def layer_of_batch(
    x: NDArray[Any], dy: NDArray[Any], gamma: ArrayLike, beta: ArrayLike, eps: float, precision: Precision,
    eps_at: str, extra_var_error: ArrayLike, summation: str,
) -> tuple[LayerQuantities, Batch, Array, Array]:  # fmt: skip
    """What training computes with: the layer, its batch, and the bounds (C,) of mean and variance."""
    u, flush = precision.work, precision.flush
    batch = batch_of(x)
    m_error, v_error = statistics_errors(batch, u, flush, summation)
    v_error = v_error + float64(extra_var_error)
    arithmetic = Arithmetic(u, flush, m_error, scale_error(batch.var, v_error, eps, eps_at, u), summation)
    root = denominator(batch.var, eps, eps_at)
    layer = LayerQuantities.of(arithmetic, batch, float64(dy), float64(gamma), float64(beta), root)
    return layer, batch, m_error, v_error


def batch_of(x: NDArray[Any]) -> Batch:
    """x: (n, C), in extended precision."""
    mean = x.mean(axis=0)
    mean = mean + (x - mean).mean(axis=0)
    d = float64(x - mean)  # formed before the cast: d keeps its digits where |m| is much larger
    return Batch(float64(x), d, float64(mean), np.mean(d * d, axis=0))


def layer_of_statistics(
    x: NDArray[Any], dy: NDArray[Any], gamma: ArrayLike, beta: ArrayLike, eps: float, precision: Precision,
    eps_at: str, moving: tuple[ArrayLike, ArrayLike], moving_bounds: tuple[ArrayLike, ArrayLike], summation: str,
) -> LayerQuantities:  # fmt: skip
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
    return LayerQuantities.of(
        arithmetic, batch, float64(dy), float64(gamma), float64(beta), denominator(v, eps, eps_at)
    )


# --- from quantities to bounds ---


def _bound(quantity: Quantity) -> Array:
    return float64(quantity.radius)


def stored(forms: list[Quantity], precision: Precision, lost: Array | float = 0.0) -> Array:
    """The greatest error of the forms, once the result is rounded to a narrower dtype, where x has one.

    lost: what other orders of their products lose to underflow.
    """
    error: Array = np.max([_bound(form) for form in forms], axis=0) + lost
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
