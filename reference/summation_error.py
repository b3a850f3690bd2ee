"""How far a floating-point sum may be from the exact one, whatever the order in which its terms are added.

Every bound of a batch norm rests on this one. ERROR_BOUNDS.md, section 2, proves it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SUMMATIONS = ("any", "pairwise", "pairwise_in_order", "wide")
"""How a layer adds: in any order; so that no term takes part in more than `pairwise_depth` additions; neighbouring rows
first, level by level (Higham 2002, section 4.1); in a type of twice the digits, rounded once at the end.

A layer that declares one of the last three says more: ERROR_BOUNDS.md, section 2, "Declared sums"."""

BLOCK_DEPTH = 32
"""A pairwise sum may begin with blocks, in which a term takes part in this many additions (NumPy: 128 terms in 8 lanes,
16 + 3)."""

SORTED_UP_TO = 4096
"""Longer rows are bounded by their sum and their greatest term alone: sorting them would take longer than judging."""


def summation_error(terms: Array, unit: float, summation: str = "any", size: Array | None = None) -> Array:
    """Bound of |computed sum - exact sum| of each column of `terms`, (n, C) or (n, 1) -> (C,).

    terms: absolute values of the *computed* terms, or more than these. unit: the unit roundoff of the additions.
    size: |sum of the computed terms|, or more; A where it is not given.
    With A = sum |t|, k the number of terms that are not 0, and P_j the sum of the j greatest |t|:

      any        unit * min((k - 1) A, (P_2 + ... + P_k) (1 + unit)^k)     first part: Lange and Rump 2019
                 and at least 2 unit A for k > 1, for a compensated sum
      pairwise   unit * depth * A (1 + unit)^depth, where depth is less than k - 1
      pairwise_in_order   the same with depth = ceil(log2 n), n the number of rows
      wide       unit * size + k unit^2 A (1 + unit)

    Raises ValueError for an unknown summation.
    """
    if summation not in SUMMATIONS:
        raise ValueError(f"summation is {summation!r}; supported: {', '.join(SUMMATIONS)}")
    total = terms.sum(axis=0)
    count = np.count_nonzero(terms, axis=0)
    steps = np.maximum(count - 1, 0)
    if summation == "wide":
        rounded_at_the_end = unit * (total if size is None else np.minimum(size, total))
        return np.where(count > 1, rounded_at_the_end, 0.0) + steps * unit**2 * (1 + unit) * total
    worst: Array = steps * unit * total
    if summation != "any":
        depth = pairwise_depth(count) if summation == "pairwise" else np.ceil(np.log2(max(len(terms), 1)))
        return np.minimum(worst, depth * unit * total * np.exp(depth * unit))
    in_a_tree = np.minimum(worst, unit * nodes_sum(terms, total, count) * np.exp(count * unit))
    compensated = np.where(count > 1, 2 * unit * total, 0.0)
    return np.maximum(in_a_tree, compensated)


def pairwise_depth(count: NDArray[np.intp]) -> Array:
    """In how many additions a term of a pairwise sum of `count` terms takes part at most."""
    return BLOCK_DEPTH + np.ceil(np.log2(np.maximum(count, 1)))


def nodes_sum(terms: Array, total: Array, count: NDArray[np.intp]) -> Array:
    """The greatest that sum |partial sum| can be, over all trees of additions: P_2 + ... + P_k.

    Zeros are no leaves: adding one is exact.
    """
    if len(terms) > SORTED_UP_TO:
        return flat_nodes_sum(total, terms.max(axis=0, initial=0.0), count)
    descending = -np.sort(-terms, axis=0)
    place = np.arange(len(terms))[:, None]
    times = np.maximum(count - np.maximum(place, 1), 0)  # the greatest two are in every partial sum from the second on
    return (descending * times).sum(axis=0)


def flat_nodes_sum(total: Array, greatest: Array, count: NDArray[np.intp] | int) -> Array:
    """P_1 + ... + P_count at most, where only the sum and the greatest term are known: P_j <= min(j greatest, sum)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        full = np.minimum(np.floor(np.where(greatest > 0, total / greatest, 0.0)), count)
    return greatest * full * (full + 1) / 2 + (count - full) * total


def unit_in_first_place(size: Array) -> Array:
    """The greatest power of two that is not greater (Rump, Ogita and Oishi 2008): an operation errs by `unit` of it."""
    _, exponent = np.frexp(size)
    return np.where(np.isfinite(size) & (size > 0), np.ldexp(0.5, exponent), size)


def fits(value: Array, unit: float) -> NDArray[np.bool_]:
    """Whether a number has no more digits than `unit` allows, whatever its exponent."""
    last_place = 2 * unit * unit_in_first_place(np.abs(value))
    scaled = value / np.where(last_place > 0, last_place, 1.0)
    return scaled == np.rint(scaled)


def is_exact_sum(a: Array, b: Array) -> NDArray[np.bool_]:
    """Whether a + b is exact in float64 (Knuth's TwoSum)."""
    total = a + b
    from_b = total - a
    return (a - (total - from_b)) + (b - from_b) == 0


def adds_exactly(terms: Array, unit: float) -> NDArray[np.bool_]:
    """(n, C) -> (C,): whether no addition of these very terms can round, in any order.

    So it is where all are multiples of the last place of sum |t|: every partial sum is one, and no greater.
    """
    total = np.abs(terms).sum(axis=0)
    _, exponent = np.frexp(total)  # total < 2^exponent, and numbers below it have a last place of 2 unit 2^(exponent-1)
    last_place = np.ldexp(unit, exponent)
    scaled = terms / np.where(last_place > 0, last_place, 1.0)
    return (scaled == np.rint(scaled)).all(axis=0) & (total > 0)
