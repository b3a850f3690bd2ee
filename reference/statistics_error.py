"""How far the batch statistics of an honest layer may be from the exact ones: its mean, its variance, its scale.

Honest are two passes about the computed mean, also corrected, or over x minus its first value; Welford's updates; and
merges of parts over any tree. E[x^2] - E[x]^2 is not. ERROR_BOUNDS.md, sections 4 to 6, has the theorems; a number in
a comment is that of an equation there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reference.quantity import Arithmetic, Quantity
from reference.summation_error import flat_nodes_sum, is_exact_sum, summation_error

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Batch:
    """A batch as the exact numbers: x, d = x - mean (n, C); mean, var (C,)."""

    x: Array
    d: Array
    mean: Array
    var: Array

    @property
    def from_first(self) -> Array:
        """|x - x_0|, (n, C)."""
        return np.abs(self.x - self.x[0])


def statistics_errors(batch: Batch, u: float, flush: float, summation: str = "any") -> tuple[Array, Array]:
    """Bounds of |computed mean - mean| and of |computed variance - var|, the biased one; (C,) each.

    flush: the smallest normal number.
    """
    if summation != "any":
        return errors_of_declared_sums(batch, Arithmetic(u, flush, summation=summation))
    shifted = mean_of_shifted_error(batch, u)
    of_mean = mean_error(batch, shifted, u, flush)
    return of_mean, variance_error(batch, of_mean, shifted, u, flush)


def errors_of_declared_sums(batch: Batch, arithmetic: Arithmetic) -> tuple[Array, Array]:
    """`statistics_errors` of two passes, of a corrected second one, and of both over x - x_0, by evaluation."""
    n, x = len(batch.x), arithmetic.exact(batch.x)
    first = arithmetic.exact(batch.x[:1])
    shifted = x - first
    mean_of_shifted = shifted.sum().over(n)
    by_shift = mean_of_shifted + first
    of_mean = np.maximum(x.sum().over(n).radius, by_shift.radius[0])
    of_var = [
        error_of_second_pass(batch, replace(arithmetic, mean_error=mean_error), off)
        for mean_error, off in ((of_mean, x.rest), (mean_of_shifted.radius, shifted.rest))
    ]
    return of_mean, np.max(of_var, axis=0)


def error_of_second_pass(batch: Batch, arithmetic: Arithmetic, off: Array | float) -> Array:
    """(C,), of the variance. off (n, C): the error of what the mean is subtracted from."""
    n = len(batch.x)
    d = less_the_mean(batch, arithmetic, off)
    squares, left = (d * d).sum(), d.sum()
    corrected = (squares - (left * left).over(n)).over(n)
    error: Array = np.maximum(squares.over(n).radius, corrected.radius)
    return error


def less_the_mean(batch: Batch, arithmetic: Arithmetic, off: Any) -> Quantity:
    """x - m, as it is computed. off (n, C): the error of what m is subtracted from."""
    d = Quantity(batch.d, arithmetic, mean=-np.ones_like(batch.mean), rest=off)
    exact: Any = False
    if arithmetic.summation != "any":
        exact = d.known & is_exact_sum(batch.x, -batch.mean) & arithmetic.representable(batch.d)
    return arithmetic.rounded(d, exact=exact)


def mean_error(batch: Batch, shifted: Array, u: float, flush: float) -> Array:
    """(C,), of the mean. shifted: the error of the mean of x - x_0."""
    size = np.abs(batch.x)
    n = len(size)
    summed = summation_error(size, u) / n
    by_sum = summed + 3 * u * (size.mean(axis=0) + summed)  # (4): the division of each value, or 1/n and a product
    by_sum = np.maximum(by_sum, shifted + u * (np.abs(batch.mean) + shifted))
    total, greatest = size.sum(axis=0), size.max(axis=0)
    nodes = u * flat_nodes_sum(total, greatest, n) / n
    by_updates = growth(n, u) * (nodes + steps_towards_the_mean(batch.var, n, u))  # (5)
    by_weights = growth(n, u) * u * (5 * levels(n) - 1) * total / n if n > 1 else by_sum  # (6)
    error: Array = np.maximum(np.maximum(by_sum, by_updates), by_weights)
    return error + flushed_on_the_way(n, flush)


def variance_error(batch: Batch, error_of_mean: Array, shifted: Array, u: float, flush: float) -> Array:
    """(C,), of the variance. shifted: the error of the mean of x - x_0."""
    n = len(batch.x)
    by_passes = two_pass_error(batch, error_of_mean, u)
    off = u * np.sqrt(np.mean(batch.from_first**2, axis=0))  # what rounding x - x_0 does to the deviations
    by_shift = two_pass_error(batch, shifted, u)
    by_shift += (2 * np.sqrt(batch.var) + off) * off * (1 + 2 * (n + 8) * u)
    by_passes = np.maximum(by_passes, by_shift)
    std, wrong_by = np.sqrt(batch.var), means_of_parts_error(batch, u)
    wrong_by = wrong_by + flushed_on_the_way(n, flush) * np.sqrt(np.log2(n) + 1)
    widest = (std + wrong_by) ** 2
    by_merges = growth(n, u) * (widest * (1 + (n + 12) * u)) - batch.var  # (9)
    return np.maximum(by_passes, by_merges) + (4 + levels(n)) * flush


def mean_of_shifted_error(batch: Batch, u: float) -> Array:
    """Of the mean of x - x_0: its differences are rounded, and summed. (4a)"""
    size = (1 + u) * batch.from_first
    summed = summation_error(size, u) / len(size)
    error: Array = summed + 4 * u * size.mean(axis=0) + 3 * u * summed
    return error * (1 + 8 * u)


def two_pass_error(batch: Batch, error_of_mean: Array, u: float) -> Array:
    """About a mean that is off by e, exact squares average to var + e^2; they are rounded and summed. (7, 8)"""
    n, var, e = len(batch.x), batch.var, error_of_mean
    size = np.abs(batch.d)
    terms = (1 + 4 * u) * size**2
    spread = 2 * e * size.mean(axis=0) + e**2  # what the wrong mean adds to the squares at most, on average
    summed = summation_error(terms, u) / n + n * u * (1 + 4 * u) * spread
    rounding = summed + 6 * u * (1 + 6 * u) * (var + e**2)
    # A corrected two-pass variance subtracts the square of what its deviations average to: e, and their rounding.
    average = summation_error(size, u) / n + n * u * e + 4 * u * size.mean(axis=0)
    corrected = 2 * e * average + average**2
    return rounding + np.maximum(e**2, corrected * (1 + 8 * u))


def means_of_parts_error(batch: Batch, u: float) -> Array:
    """(C,): how far off the differences of parts' means are, in the mean that their merges weigh them by. (10 to 12)"""
    n = len(batch.x)
    size = np.abs(batch.x)
    total, greatest, std = size.sum(axis=0), size.max(axis=0), np.sqrt(batch.var)
    by_greatest = greatest / 2 * np.sqrt((n + 3) ** 3 / (3 * n))
    by_total = np.minimum((n + 1) / 2 * greatest, total) * np.sqrt(np.log2(n) + 1)
    levels_below = np.arange(1, levels(n))
    by_weights = greatest * np.sqrt(((5 * levels_below - 1.0) ** 2).sum())
    steps = 7.1 * std * np.sqrt((np.log2(n) + 3.25) * np.log(n)) if n > 1 else 0.0 * std
    error: Array = growth(n, u) * u * (np.maximum(np.minimum(by_greatest, by_total), by_weights) + steps)
    return error


def flushed_on_the_way(n: int, flush: float) -> float:
    """What the mean of n values loses where each step towards it is flushed: Welford's may never move. (5a)"""
    return (3 * n + 2) * flush if n > 1 else 2 * flush


def steps_towards_the_mean(var: Array, n: int, u: float) -> Array:
    """What the roundings of delta * n_b / n add up to over a tree of merges, at most. (5)"""
    return 5 * u * np.sqrt(var * (np.log2(n) + 3.25)) if n > 1 else 0.0 * var


def growth(n: int, u: float) -> float:
    """The factor by which errors of errors make a bound of first order grow in n steps."""
    return float(np.exp((n + 16 * levels(n) + 16) * u))


def levels(n: int) -> int:
    """The depth of a balanced tree of n leaves."""
    return int(np.ceil(np.log2(n))) if n > 1 else 0


def denominator(var: Array, eps: float, eps_at: str) -> Array:
    """sqrt(var + eps) or sqrt(var) + eps. Raises ValueError for an unknown eps_at."""
    if eps_at == "inside_sqrt":
        return np.sqrt(var + eps)
    if eps_at == "outside_sqrt":
        return np.sqrt(var) + eps
    raise ValueError(f"eps_at is {eps_at!r}; supported: inside_sqrt, outside_sqrt")


def scale_error(var: Array, error: Array, eps: float, eps_at: str, u: float) -> Array:
    """p >= |computed r / r - 1|, where r is 1/`denominator`. (13)

    An honest variance is not negative. The six u: eps and the addition, which a root halves, root and division, within
    an ulp each, or a reciprocal root within two; the sixth for their products.
    """
    low, high = np.maximum(var - error, np.minimum(var, 0)), var + error
    at, at_low, at_high = (denominator(v, eps, eps_at) for v in (var, low, high))
    p: Array = np.maximum(at / at_low - 1, 1 - at_high**-1 * at)
    return p * (1 + 6 * u) + 6 * u
