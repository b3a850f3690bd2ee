"""A number that an implementation computes, and how far it may be from the exact one: a running error analysis.

A formula of batch norm written with quantities evaluates to its own error bound. Two errors are common to all values
of a channel: that of the mean, and the relative one of the scale 1/sqrt(v + eps). A quantity keeps how it depends on
them, with sign, so that they cancel in sums as they do in fact; whatever else rounding does is added up in absolute
value. (Affine arithmetic with two symbols: de Figueiredo and Stolfi, "Affine arithmetic", Numer. Algorithms 37, 2004.)
ERROR_BOUNDS.md, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reference.summation_error import adds_exactly, fits, is_exact_sum, summation_error, unit_in_first_place

Array = NDArray[np.float64]
NONE = 0.0
"""No dependence, no error: told by identity from an array that happens to hold zeros."""

HALF_OF_FLOAT64 = 2.0**-26
"""Two numbers of so many bits have a product that float64 holds."""

SLACK_OF_EVALUATION = 3
"""Values are evaluated in float64, whose roundings are no more than these many radii where that is the dtype judged."""


@dataclass(frozen=True)
class Arithmetic:
    """What is computed with, and the bounds of the two common errors, (C,) each."""

    unit: float
    """The unit roundoff of + - *."""
    flush: float
    """The smallest normal number: results below it may become zero."""
    mean_error: Any = NONE
    scale_error: Any = NONE
    summation: str = "any"

    def exact(self, value: Array) -> Quantity:
        """What was given. A number below the smallest normal one may be read as zero."""
        size = np.abs(value)
        subnormal = (size < self.flush) & (size > 0)
        return Quantity(value, self, rest=np.where(subnormal, size, 0.0) if subnormal.any() else NONE)

    def representable(self, value: Array) -> NDArray[np.bool_]:
        """Whether a result of this value needs no rounding, and is not flushed."""
        return fits(value, self.unit) & ((np.abs(value) >= self.flush) | (value == 0))

    def rounded(self, result: Quantity, roundings: float = 1.0, exact: Any = False) -> Quantity:
        """The result of an operation, once it is rounded, and flushed where it is small and not exactly 0.

        exact: where it is known not to round at all.

        For declared sums, where narrower bounds are worth the time, half an ulp is half an ulp: that of a number just
        below a power of two is half of what `unit` times its size says. Two roundings are a division within an ulp.
        """
        size = np.abs(result.value) + result.radius
        if self.summation != "any" and roundings <= 2:
            size = unit_in_first_place((size + SLACK_OF_EVALUATION * result.radius) * (1 + 32 * self.unit))
        share = roundings * self.unit * (1 + roundings * self.unit)
        rest = result.rest + share * size + max(1.0, roundings) * self.flush * (size > 0)
        if exact is not False:
            rest = np.where(exact, result.rest, rest)
        return Quantity(result.value, self, result.mean, result.scale, rest)


class Quantity:
    """computed = value + mean * (error of the mean) + scale * (relative error of the scale) + at most rest."""

    __slots__ = ("_radius", "arithmetic", "mean", "rest", "scale", "value")

    def __init__(
        self, value: Array, arithmetic: Arithmetic, mean: Any = NONE, scale: Any = NONE, rest: Any = NONE
    ) -> None:
        self.value, self.arithmetic = value, arithmetic
        self.mean, self.scale, self.rest = mean, scale, rest
        self._radius: Any = None

    @property
    def radius(self) -> Any:
        """The greatest |computed - value|."""
        if self._radius is None:
            radius = self.rest
            if self.mean is not NONE:
                radius = radius + np.abs(self.mean) * self.arithmetic.mean_error
            if self.scale is not NONE:
                radius = radius + np.abs(self.scale) * self.arithmetic.scale_error
            self._radius = radius
        return self._radius

    def __add__(self, other: Quantity) -> Quantity:
        return self.arithmetic.rounded(self._plus(other), exact=self._adds_exactly(other))

    def __sub__(self, other: Quantity) -> Quantity:
        return self + -other

    def __neg__(self) -> Quantity:
        return self.times(-1.0)

    def __mul__(self, other: Quantity) -> Quantity:
        return self.arithmetic.rounded(self.exact_product(other), exact=self._multiplies_exactly(other))

    @property
    def known(self) -> Any:
        """Where the computed number is the value, to the last bit. Looked into for declared sums alone."""
        return np.asarray(self.radius) == 0

    def _adds_exactly(self, other: Quantity) -> Any:
        if self.arithmetic.summation == "any":
            return False
        a, b = self.value, other.value
        return self.known & other.known & is_exact_sum(a, b) & self.arithmetic.representable(a + b)

    def _multiplies_exactly(self, other: Quantity) -> Any:
        if self.arithmetic.summation == "any":
            return False
        a, b = self.value, other.value
        short = fits(a, HALF_OF_FLOAT64) & fits(b, HALF_OF_FLOAT64)
        return self.known & other.known & short & self.arithmetic.representable(a * b)

    def _plus(self, other: Quantity) -> Quantity:
        return Quantity(
            self.value + other.value,
            self.arithmetic,
            _sum(self.mean, other.mean),
            _sum(self.scale, other.scale),
            _sum(self.rest, other.rest),
        )

    def exact_product(self, other: Quantity) -> Quantity:
        """The product before it is rounded."""
        a, b = self.value, other.value
        rest = _sum(_times(np.abs(a), other.rest), _times(np.abs(b), self.rest))
        if self.radius is not NONE and other.radius is not NONE:
            rest = rest + self.radius * other.radius
        return Quantity(
            a * b,
            self.arithmetic,
            _sum(_times(a, other.mean), _times(b, self.mean)),
            _sum(_times(a, other.scale), _times(b, self.scale)),
            rest,
        )

    def times(self, factor: float) -> Quantity:
        """By a power of two, which is exact unless the result is too small."""
        parts = (_times(factor, self.mean), _times(factor, self.scale), _times(abs(factor), self.rest))
        scaled = Quantity(factor * self.value, self.arithmetic, *parts)
        return scaled if abs(factor) >= 1 else self.arithmetic.rounded(scaled, 0.0)

    def over(self, n: int) -> Quantity:
        """Divided by n, or multiplied by a reciprocal that was rounded within an ulp: three roundings.

        A target that declares its sums divides by a power of two without one.
        """
        arithmetic = self.arithmetic
        parts = (_times(1 / n, a) for a in (self.mean, self.scale, self.rest))
        exact = (
            False
            if arithmetic.summation == "any" or n & (n - 1)
            else self.known & arithmetic.representable(self.value / n)
        )
        return arithmetic.rounded(Quantity(self.value / n, arithmetic, *parts), 3.0, exact)

    def sum(self) -> Quantity:
        """The sum over the rows, in the order that `arithmetic.summation` allows. Terms (n, C) -> (C,)."""
        arithmetic = self.arithmetic
        total = _rows(self.value)
        if arithmetic.summation == "pairwise_in_order":
            return self._sum_in_pairs(total)
        if self.radius is NONE:
            rounding = summation_error(np.abs(self.value), arithmetic.unit, arithmetic.summation, np.abs(total))
            rounding = np.where(adds_exactly(self.value, arithmetic.unit), 0.0, rounding)
        else:
            terms = np.abs(self.value) + self.radius
            size = np.abs(total) + self._whole(total).radius
            rounding = summation_error(terms, arithmetic.unit, arithmetic.summation, size)
        flushed: Any = len(self.value) * arithmetic.flush
        if arithmetic.summation != "any":
            rounding, flushed = (np.where(self.known_sum, 0.0, a) for a in (rounding, flushed))
        whole = self._whole(total, rounding)
        return whole._with_rest(whole.rest + flushed)

    @property
    def known_sum(self) -> Any:
        """(C,): whether all terms are known, and no sum of them rounds, in whatever order."""
        return np.broadcast_to(self.known, self.value.shape).all(axis=0) & adds_exactly(
            self.value, self.arithmetic.unit
        )

    def _whole(self, total: Array, rounding: Any = NONE) -> Quantity:
        """The sum of the rows, and what its own rounding adds."""
        mean, scale, rest = (a if a is NONE else _rows(a, self.value) for a in (self.mean, self.scale, self.rest))
        return Quantity(total, self.arithmetic, mean, scale, _sum(rest, rounding))

    def _sum_in_pairs(self, total: Array) -> Quantity:
        """Neighbours first, level by level: the very additions, so that partial sums are as small as they are.

        None of them counts as exact unless no order rounds: the oracle may add in another one.
        """
        part = Quantity(
            self.value,
            self.arithmetic,
            *(NONE if a is NONE else np.broadcast_to(a, self.value.shape) for a in (self.mean, self.scale, self.rest)),
        )
        while len(part.value) > 1:
            even = len(part.value) // 2 * 2
            pairs = self.arithmetic.rounded(part._at(slice(0, even, 2))._plus(part._at(slice(1, even, 2))))
            part = pairs._followed_by(part._at(slice(even, None)))
        rest = part.rest if part.rest is NONE else np.where(self.known_sum, 0.0, part.rest.sum(axis=0))
        return self._whole(total, NONE)._with_rest(rest)

    def _with_rest(self, rest: Any) -> Quantity:
        return Quantity(self.value, self.arithmetic, self.mean, self.scale, rest)

    def _at(self, rows: slice) -> Quantity:
        parts = (a if a is NONE else a[rows] for a in (self.mean, self.scale, self.rest))
        return Quantity(self.value[rows], self.arithmetic, *parts)

    def _followed_by(self, other: Quantity) -> Quantity:
        if not len(other.value):
            return self
        parts = (
            NONE if a is NONE and b is NONE else np.concatenate([_filled(a, self.value), _filled(b, other.value)])
            for a, b in ((self.mean, other.mean), (self.scale, other.scale), (self.rest, other.rest))
        )
        return Quantity(np.concatenate([self.value, other.value]), self.arithmetic, *parts)

    def or_worse(self, other: Quantity) -> Quantity:
        """Either of two computations of the same function of mean and scale: the greater rest."""
        return Quantity(self.value, self.arithmetic, self.mean, self.scale, np.maximum(self.rest, other.rest))


def added(*terms: Quantity) -> Quantity:
    """Their sum, in whatever order: no partial sum is greater than the sum of their sizes (theorem 1)."""
    whole = terms[0]
    for term in terms[1:]:
        whole = whole._plus(term)
    unit, flush = whole.arithmetic.unit, whole.arithmetic.flush
    additions = len(terms) - 1
    size = sum(np.abs(term.value) + term.radius for term in terms)
    return whole._with_rest(whole.rest + additions * (unit * size + flush))


def _rows(a: Any, like: Array | None = None) -> Array:
    """The sum over the rows, also of what is the same in all of them."""
    return (a if like is None or a.shape == like.shape else np.broadcast_to(a, like.shape)).sum(axis=0)


def _filled(a: Any, like: Array) -> Array:
    return np.zeros_like(like) if a is NONE else a


def _sum(a: Any, b: Any) -> Any:
    return b if a is NONE else a if b is NONE else a + b


def _times(a: Any, b: Any) -> Any:
    return NONE if b is NONE else a * b
