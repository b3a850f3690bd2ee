"""Mean and biased variance of (n, C) rows, as honest implementations compute them: (C,) each.

`Statistics` takes the rows, a sum and a division; those that merge partial results ignore the sum.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from tests.targets.honest.adding import Array, Sum, fused, fused_dot, wide

Divide = Callable[[Array, Array], Array]
Statistics = Callable[[Array, Sum, Divide], tuple[Array, Array]]


def two_pass(x: Array, add: Sum, divide: Divide) -> tuple[Array, Array]:
    n = x.dtype.type(len(x))
    mean = divide(add(x), n)
    d = x - mean
    return mean, divide(add(d * d), n)


def two_pass_reciprocal_count(x: Array, add: Sum, divide: Divide) -> tuple[Array, Array]:
    """1/n is rounded and multiplied by."""
    per_value = divide(x.dtype.type(1), x.dtype.type(len(x)))
    mean = add(x) * per_value
    d = x - mean
    return mean, add(d * d) * per_value


def two_pass_of_quotients(x: Array, add: Sum, divide: Divide) -> tuple[Array, Array]:
    """TensorFlow.js: each value is divided by n before it is added, so that no sum overflows."""
    n = x.dtype.type(len(x))
    mean = add(divide(x, n))
    d = x - mean
    return mean, add(divide(d * d, n))


def two_pass_fused(x: Array, add: Sum, divide: Divide) -> tuple[Array, Array]:
    """Squares and sum by fused multiply-add, row by row."""
    n = x.dtype.type(len(x))
    mean = divide(add(x), n)
    deviations = x - mean
    return mean, divide(fused_dot(deviations, deviations), n)


def two_pass_wide(x: Array, add: Sum, divide: Divide) -> tuple[Array, Array]:
    mean, var = two_pass(wide(x), add, divide)
    return mean.astype(x.dtype), var.astype(x.dtype)


def wide_mean(x: Array, add: Sum, divide: Divide) -> tuple[Array, Array]:
    """Each sum in the wider type, of terms in the narrow one."""
    n = x.dtype.type(len(x))
    mean = divide(add(wide(x)), wide(n)).astype(x.dtype)
    d = x - mean
    return mean, divide(add(wide(d * d)), wide(n)).astype(x.dtype)


def shifted_two_pass(x: Array, add: Sum, divide: Divide) -> tuple[Array, Array]:
    """Two passes over x minus its first value."""
    mean, var = two_pass(x - x[0], add, divide)
    return x[0] + mean, var


def corrected_two_pass(x: Array, add: Sum, divide: Divide) -> tuple[Array, Array]:
    """The second pass subtracts what is left of the mean (Chan, Golub and LeVeque 1983, equation 1.7); not below 0."""
    n = x.dtype.type(len(x))
    mean = divide(add(x), n)
    d = x - mean
    rest = add(d)
    return mean, divide(np.maximum(add(d * d) - divide(rest * rest, n), 0), n)


def single_pass_in_wider_type(x: Array, add: Sum, divide: Divide) -> tuple[Array, Array]:
    """E[x^2] - E[x]^2, of sums of twice the digits: float32 in float64. Not below 0."""
    rows = wide(x)
    n = rows.dtype.type(len(x))
    mean = divide(add(rows), n)
    var = np.maximum(divide(add(rows * rows), n) - mean * mean, 0)
    return mean.astype(x.dtype), var.astype(x.dtype)


def means_of_means(x: Array, add: Sum, divide: Divide) -> tuple[Array, Array]:
    """Over the places of each example, then over the examples: two divisions."""
    places = next(k for k in range(math.isqrt(len(x)), 0, -1) if len(x) % k == 0)

    def mean_of(rows: Array) -> Array:
        examples = [divide(add(example), x.dtype.type(places)) for example in rows.reshape(-1, places, rows.shape[1])]
        return divide(add(np.stack(examples)), x.dtype.type(len(examples)))

    mean = mean_of(x)
    d = x - mean
    return mean, mean_of(d * d)


def unbiased_taken_back(x: Array, add: Sum, divide: Divide) -> tuple[Array, Array]:
    """A framework's unbiased variance, times (n - 1)/n."""
    n, others = x.dtype.type(len(x)), x.dtype.type(max(len(x) - 1, 1))
    mean = divide(add(x), n)
    d = x - mean
    return mean, divide(divide(add(d * d), others) * others, n)


def replicas(x: Array, add: Sum, divide: Divide) -> tuple[Array, Array]:
    """Two passes in each of four parts, whose means and variances are averaged by how many values they have."""
    T = x.dtype.type
    parts = [part for part in np.array_split(x, 4) if len(part)]
    each = [(divide(T(len(part)), T(len(x))), *two_pass(part, add, divide)) for part in parts]
    mean = add(np.stack([share * m for share, m, _ in each]))
    return mean, add(np.stack([share * (v + (m - mean) * (m - mean)) for share, m, v in each]))


@dataclass(frozen=True)
class Part:
    """The statistics of some of the rows: how many, their mean, the sum of squared deviations from it."""

    count: int
    mean: Array
    squares: Array


Merge = Callable[[Part, Part], Part]


def chan(a: Part, b: Part) -> Part:
    """Chan, Golub and LeVeque 1979, with the difference of the means; as PyTorch's WelfordOps."""
    T = a.mean.dtype.type
    delta, share = b.mean - a.mean, T(b.count) / T(a.count + b.count)
    return Part(a.count + b.count, a.mean + delta * share, a.squares + b.squares + delta * delta * (T(a.count) * share))


def chan_by_product(a: Part, b: Part) -> Part:
    """The weight n_a n_b / n formed as a product first."""
    T = a.mean.dtype.type
    n, delta = a.count + b.count, b.mean - a.mean
    weight = T(a.count) * T(b.count) / T(n)
    return Part(n, a.mean + delta * (T(b.count) / T(n)), a.squares + b.squares + delta * delta * weight)


def weighted_mean(a: Part, b: Part) -> Part:
    """PyTorch's warp merge on CUDA (Normalization.cuh): (n_a m_a + n_b m_b) * (1/n)."""
    T = a.mean.dtype.type
    n, delta = a.count + b.count, a.mean - b.mean
    factor = T(1) / T(n)
    mean = (T(a.count) * a.mean + T(b.count) * b.mean) * factor
    return Part(n, mean, a.squares + (b.squares + delta * delta * T(a.count) * T(b.count) * factor))


def weighted_mean_by_division(a: Part, b: Part) -> Part:
    T = a.mean.dtype.type
    n, delta = a.count + b.count, a.mean - b.mean
    mean = (T(a.count) * a.mean + T(b.count) * b.mean) / T(n)
    return Part(n, mean, a.squares + b.squares + delta * delta * (T(a.count) * T(b.count) / T(n)))


def welford_of(rows: Array, reciprocal: bool = False, fma: bool = False, divide: Divide = np.divide) -> Part:
    """One row after another. `reciprocal`: times 1/k, as PyTorch's channels-last kernel does. `fma`: fused updates."""
    T = rows.dtype.type
    mean, squares = np.zeros_like(rows[0]), np.zeros_like(rows[0])
    for k, row in enumerate(rows, start=1):
        delta = row - mean
        if fma:
            mean = fused(delta, T(1) / T(k), mean)
            squares = fused(delta, row - mean, squares)
        else:
            mean = mean + (delta * (T(1) / T(k)) if reciprocal else divide(delta, T(k)))
            squares = squares + delta * (row - mean)
    return Part(len(rows), mean, squares)


def one_after_another(x: Array, _add: Sum, divide: Divide) -> tuple[Array, Array]:
    """Welford's updates."""
    whole = welford_of(x, divide=divide)
    return whole.mean, divide(whole.squares, x.dtype.type(len(x)))


def one_after_another_by_reciprocals(x: Array, _add: Sum, divide: Divide) -> tuple[Array, Array]:
    whole = welford_of(x, reciprocal=True)
    return whole.mean, divide(whole.squares, x.dtype.type(len(x)))


def merged_pairwise(parts: list[Part], merge: Merge) -> Part:
    while len(parts) > 1:
        pairs = zip(parts[0::2], parts[1::2], strict=False)
        parts = [merge(a, b) for a, b in pairs] + parts[len(parts) // 2 * 2 :]
    return parts[0]


def merged_in_turn(parts: list[Part], merge: Merge) -> Part:
    total = parts[0]
    for part in parts[1:]:
        total = merge(total, part)
    return total


def strided(rows: Array, lanes: int) -> Iterator[Array]:
    return (rows[k::lanes] for k in range(min(lanes, len(rows))))


def contiguous(rows: Array, lanes: int) -> Iterator[Array]:
    return iter(np.array_split(rows, min(lanes, len(rows))))


@dataclass(frozen=True)
class Welford:
    """Welford in lanes, then merges. One lane is Welford; as many lanes as rows are merges alone."""

    lanes: int | None = 1
    """None: a lane a row."""
    merge: Merge = chan
    split: Callable[[Array, int], Iterator[Array]] = strided
    in_turn: bool = False
    """The lanes are merged one after another instead of pairwise."""
    reciprocal: bool = False
    fma: bool = False
    wide: bool = False
    """Everything in the wider type, rounded at the end."""

    def __call__(self, x: Array, _add: Sum, divide: Divide) -> tuple[Array, Array]:
        rows = wide(x) if self.wide else x
        T = rows.dtype.type
        parts = self._lanes(rows, divide) if self.lanes else [Part(1, row, np.zeros_like(row)) for row in rows]
        whole = merged_in_turn(parts, self.merge) if self.in_turn else merged_pairwise(parts, self.merge)
        n = T(len(x))
        var = whole.squares * (T(1) / n) if self.reciprocal else divide(whole.squares, n)
        return whole.mean.astype(x.dtype), var.astype(x.dtype)

    def _lanes(self, rows: Array, divide: Divide) -> list[Part]:
        """Lanes of the same length side by side, as vector code runs them."""
        assert self.lanes is not None
        pieces = list(self.split(rows, self.lanes))
        by_length: dict[int, list[int]] = {}
        for number, piece in enumerate(pieces):
            by_length.setdefault(len(piece), []).append(number)
        parts: list[Part | None] = [None] * len(pieces)
        for length, numbers in by_length.items():
            abreast = np.stack([pieces[k] for k in numbers], axis=1).reshape(length, -1)
            both = welford_of(abreast, self.reciprocal, self.fma, divide)
            means, squares = both.mean.reshape(len(numbers), -1), both.squares.reshape(len(numbers), -1)
            for place, number in enumerate(numbers):
                parts[number] = Part(length, means[place], squares[place])
        return [part for part in parts if part is not None]
