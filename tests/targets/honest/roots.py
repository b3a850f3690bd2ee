"""Division, square root and reciprocal square root, exact to half an ulp or off by as much as hardware may be.

CUDA's table of ulps (CUDA C++ Programming Guide, "Mathematical Functions"): rsqrtf 2 ulps; division and sqrtf half an
ulp unless approximated, then 1 (sqrtf) and 2; XLA's rsqrt on a CPU is a Newton step away from an estimate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tests.targets.honest.adding import Array, wide


@dataclass(frozen=True)
class Roots:
    divide: Callable[[Array, Array], Array] = np.divide
    root: Callable[[Array], Array] = np.sqrt
    reciprocal_root: Callable[[Array], Array] = lambda s: s.dtype.type(1) / np.sqrt(s)


def directed(exact: Array, dtype: np.dtype, steps: int) -> Array:
    """The number `steps` representable numbers above the exact one (below it, where negative), less than one between.

    One step is an error of less than an ulp: rounding up or down. Zeros and what is not finite stay.
    """
    nearest = exact.astype(dtype)
    away = np.array(np.inf if steps > 0 else -np.inf, dtype)
    past = nearest > exact if steps > 0 else nearest < exact
    moved = np.where(past | (nearest == exact), nearest, np.nextafter(nearest, away))
    for _ in range(abs(steps) - 1):
        moved = np.nextafter(moved, away)
    kept: Array = np.where((exact == 0) | ~np.isfinite(nearest) | ~np.isfinite(moved), nearest, moved)
    return kept


def rounded_up(steps: int = 1) -> Roots:
    """Everything off by `steps` ulps in one direction; down where negative. Division never by more than one."""
    one = 1 if steps > 0 else -1

    def divide(a: Array, b: Array) -> Array:
        return directed(wide(np.asarray(a)) / b, np.result_type(a, b), one)

    def root(s: Array) -> Array:
        return directed(np.sqrt(wide(s)), s.dtype, one)

    def reciprocal_root(s: Array) -> Array:
        return directed(1 / np.sqrt(wide(s)), s.dtype, steps)

    return Roots(divide, root, reciprocal_root)


def scattered(salt: int) -> Roots:
    """Off by as much as hardware may be, up or down as the digits of the result have it."""

    def upwards(a: Array) -> Array:
        digits = np.ascontiguousarray(a).view(np.int32 if a.dtype == np.float32 else np.int64).astype(np.int64)
        mixed = digits * 2654435761 + salt * 40503
        return np.asarray(((mixed >> 13) ^ (mixed >> 7)) & 1 == 1)

    def off(exact: Array, dtype: np.dtype, steps: int) -> Array:
        return np.where(upwards(exact.astype(dtype)), directed(exact, dtype, steps), directed(exact, dtype, -steps))

    def divide(a: Array, b: Array) -> Array:
        return off(np.asarray(wide(np.asarray(a)) / b), np.result_type(a, b), 1)

    def root(s: Array) -> Array:
        return off(np.sqrt(wide(s)), s.dtype, 1)

    def reciprocal_root(s: Array) -> Array:
        return off(1 / np.sqrt(wide(s)), s.dtype, 2)

    return Roots(divide, root, reciprocal_root)


EXACT = Roots()
SCATTERED = scattered(1)
BY_POWER = Roots(reciprocal_root=lambda s: s ** s.dtype.type(-0.5))
ROOT_OF_RECIPROCAL = Roots(reciprocal_root=lambda s: np.sqrt(s.dtype.type(1) / s))
# Only the reciprocal root is off; division and root are those of the CPU.
RECIPROCAL_ROOT_UP_1 = Roots(reciprocal_root=rounded_up(1).reciprocal_root)
RECIPROCAL_ROOT_DOWN_1 = Roots(reciprocal_root=rounded_up(-1).reciprocal_root)
RECIPROCAL_ROOT_UP_2 = Roots(reciprocal_root=rounded_up(2).reciprocal_root)
RECIPROCAL_ROOT_DOWN_2 = Roots(reciprocal_root=rounded_up(-2).reciprocal_root)
# Root and division each off by an ulp, to the same side of the quotient.
ROOT_UP_DIVISION_DOWN = Roots(
    rounded_up(-1).divide,
    rounded_up(1).root,
    lambda s: rounded_up(-1).divide(np.ones_like(s), rounded_up(1).root(s)),
)
ROOT_DOWN_DIVISION_UP = Roots(
    rounded_up(1).divide,
    rounded_up(-1).root,
    lambda s: rounded_up(1).divide(np.ones_like(s), rounded_up(-1).root(s)),
)
