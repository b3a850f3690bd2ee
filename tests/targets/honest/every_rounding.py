"""Numbers that know their derivative by each rounding made on the way: how far off a program can be, to first order.

Every operation multiplies its result by 1 + t, where |t| is as large as the model of arithmetic allows
(ERROR_BOUNDS.md, section 1): u, 2u of a division or a root, 4u of a reciprocal root. The error is the sum of the
derivatives by all t, times t; its greatest value is the sum of their absolute values. No data has to be found on which
roundings happen to agree, as in a search with arrays that round. Honest formulas take these numbers in place of arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from reference.summation_error import adds_exactly, unit_in_first_place
from tests.targets.honest.adding import Array
from tests.targets.honest.roots import Roots

UNIT = 2.0**-24
"""Of float32, which is stood for: data has to be exact in it."""


class Roundings:
    """How many there were, and how large one is: of a number, or of the power of two below it, as for declared sums."""

    def __init__(self, of_first_place: bool = False) -> None:
        self.count, self.of_first_place = 0, of_first_place

    def number(self, value: Any) -> Traced:
        """What is given, or a constant."""
        value = np.asarray(value, np.float64)
        return Traced(self, value, np.zeros((0, *value.shape)))

    def result(self, value: Array, operands: Sequence[tuple[Traced, Any]], units: float, exact: Any = False) -> Traced:
        """operands: each with the derivative of `value` by it. units: the greatest |t|. exact: where nothing rounds."""
        own = len(value) if value.ndim == 2 else 1
        by = np.zeros((self.count + own, *value.shape))
        known = np.full(value.shape, True)
        for operand, slope in operands:
            by[: len(operand.by)] += _aligned(operand.by, value.ndim) * slope
            known = known & operand.known
        size = unit_in_first_place(np.abs(value)) if self.of_first_place else value
        if self.of_first_place:  # where these bounds know that an operation is exact
            exact = exact | (known & (value == value.astype(np.float32)))
        rounding = np.where(exact, 0.0, units * size)
        if value.ndim == 2:
            rows = np.arange(own)
            by[self.count + rows, rows] = rounding
        else:
            by[self.count] = rounding
        self.count += own
        return Traced(self, value, by)


class Traced:
    """A number a channel, (C,), or n of them, (n, C); by (k, ...): its derivatives by the first k roundings."""

    __array_priority__ = 1000

    def __init__(self, of: Roundings, value: Array, by: Array) -> None:
        self.of, self.value, self.by = of, value, by

    @property
    def greatest_error(self) -> Array:
        return UNIT * np.abs(self.by).sum(axis=0)

    @property
    def known(self) -> Array:
        """Where no rounding has touched it."""
        return ~(self.by != 0).any(axis=0)

    @property
    def dtype(self) -> Any:
        """`x.dtype.type(2)` makes a constant."""
        return _OfConstants(self.of)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    def __len__(self) -> int:
        return len(self.value)

    def __getitem__(self, rows: Any) -> Traced:
        return Traced(self.of, self.value[rows], self.by[:, rows])

    def __add__(self, other: Any) -> Traced:
        other = self._other(other)
        exact = (self.value == 0) | (other.value == 0)
        return self.of.result(self.value + other.value, [(self, 1.0), (other, 1.0)], 1.0, exact)

    def __sub__(self, other: Any) -> Traced:
        return self + -self._other(other)

    def __neg__(self) -> Traced:
        return Traced(self.of, -self.value, -self.by)

    def __mul__(self, other: Any) -> Traced:
        other = self._other(other)
        exact = self._is_power_of_two | other._is_power_of_two
        return self.of.result(self.value * other.value, [(self, other.value), (other, self.value)], 1.0, exact)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Traced:
        other = self._other(other)
        quotient = self.value / other.value
        slopes = [(self, 1 / other.value), (other, -quotient / other.value)]
        return self.of.result(quotient, slopes, 2.0, other._is_power_of_two)

    def __rtruediv__(self, other: Any) -> Traced:
        return self._other(other) / self

    def __gt__(self, other: float) -> Array:
        return self.value > other

    def astype(self, _dtype: Any) -> Traced:
        return self

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **_: Any) -> Any:
        """Of arrays on the left hand, and what formulas take from NumPy."""
        a, b = (self._other(a) for a in (*inputs, 0.0)[:2])
        of = {np.add: Traced.__add__, np.subtract: Traced.__sub__, np.multiply: Traced.__mul__,
              np.divide: Traced.__truediv__}  # fmt: skip
        return of[ufunc](a, b) if ufunc in of and method == "__call__" else NotImplemented

    def __array_function__(self, function: Any, _types: Any, arguments: Any, _options: Any) -> Any:
        if function is np.zeros_like:
            return self.of.number(np.zeros(self.shape))
        if function is np.where:
            chosen, a, b = (arguments[0], *(self._other(a)._in(arguments[0].shape) for a in arguments[1:]))
            count = max(len(a.by), len(b.by))
            by = np.where(chosen, _longer(a.by, count), _longer(b.by, count))
            return Traced(self.of, np.where(chosen, a.value, b.value), by)
        return self._in(arguments[1]) if function is np.broadcast_to else NotImplemented

    def _in(self, shape: tuple[int, ...]) -> Traced:
        by = np.broadcast_to(_aligned(self.by, len(shape)), (len(self.by), *shape))
        return Traced(self.of, np.broadcast_to(self.value, shape), by)

    def _other(self, other: Any) -> Traced:
        return other if isinstance(other, Traced) else self.of.number(other)

    @property
    def _is_power_of_two(self) -> Any:
        mantissa, _ = np.frexp(np.abs(self.value))
        return (mantissa == 0.5) & self.known if self.value.ndim == 0 else False


class _OfConstants:
    def __init__(self, of: Roundings) -> None:
        self.type = of.number


def _aligned(by: Array, rank: int) -> Array:
    return by.reshape(len(by), *(1,) * (rank + 1 - by.ndim), *by.shape[1:])


def _longer(by: Array, count: int) -> Array:
    return np.concatenate([by, np.zeros((count - len(by), *by.shape[1:]))])


# --- sums and roots ---


def in_turn(terms: Traced) -> Traced:
    """Row by row; multiples of the last place of their sum add up without a rounding (theorem 3)."""
    exact = adds_exactly(terms.value, UNIT) if terms.known.all() else False
    total = terms[0]
    for row in range(1, len(terms)):
        exact_here = exact | (total.value == 0) | (terms.value[row] == 0)
        operands = [(total, 1.0), (terms[row], 1.0)]
        total = terms.of.result(total.value + terms.value[row], operands, 1.0, exact_here)
    return total


def in_pairs(terms: Traced) -> Traced:
    """Neighbours first, level by level."""
    parts = [terms[row] for row in range(len(terms))]
    while len(parts) > 1:
        even = len(parts) // 2 * 2
        parts = [parts[k] + parts[k + 1] for k in range(0, even, 2)] + parts[even:]
    return parts[0]


def in_twice_the_digits(terms: Traced) -> Traced:
    """Rounded once, at the end; one term among zeros is its own sum."""
    total = Traced(terms.of, terms.value.sum(axis=0), terms.by.sum(axis=1))
    exact: Any = ((terms.value != 0) | ~terms.known).sum(axis=0) <= 1
    if terms.known.all():
        exact = exact | adds_exactly(terms.value, UNIT)
    return terms.of.result(total.value, [(total, 1.0)], 1.0, exact)


SUMS = {"any": in_turn, "pairwise_in_order": in_pairs, "wide": in_twice_the_digits}
"""By what is declared."""


def _root(a: Any) -> Any:
    root = np.sqrt(a.value)
    return a.of.result(root, [(a, 0.5 / root)], 2.0)


def _reciprocal_root(a: Any) -> Any:
    r = 1 / np.sqrt(a.value)
    return a.of.result(r, [(a, -0.5 * r / a.value)], 4.0)


def _divide(a: Any, b: Any) -> Any:
    return a / b if isinstance(a, Traced) else b.of.number(a) / b


BY_ROOT = Roots(_divide, _root, lambda a: a.of.number(1.0) / _root(a))
BY_RECIPROCAL_ROOT = Roots(_divide, _root, _reciprocal_root)
