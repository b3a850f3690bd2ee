"""Moving averages in the forms that libraries use; `keep` is the weight of the old value. All arrays are (C,)."""

from __future__ import annotations

from collections.abc import Callable

from tests.targets.honest.adding import Array, fused

Average = Callable[[Array, Array, float], Array]
Bessel = Callable[[Array, int], Array]
Debias = Callable[[Array, float, int], Array]


def two_products(old: Array, new: Array, keep: float) -> Array:
    """The old value's weight is given, the new one's follows from it."""
    T = old.dtype.type
    return T(keep) * old + (T(1) - T(keep)) * new


def two_products_from_new(old: Array, new: Array, keep: float) -> Array:
    """The new value's weight is given."""
    T = old.dtype.type
    weight = T(1 - keep)
    return (T(1) - weight) * old + weight * new


def two_products_fused(old: Array, new: Array, keep: float) -> Array:
    T = old.dtype.type
    return fused(old, T(keep), (T(1) - T(keep)) * new)


def increment(old: Array, new: Array, keep: float) -> Array:
    """old + w (new - old), w from the old value's weight."""
    T = old.dtype.type
    return old + (T(1) - T(keep)) * (new - old)


def decrement(old: Array, new: Array, keep: float) -> Array:
    """TensorFlow: old -= (old - new) w, the new value's weight given."""
    return old - (old - new) * old.dtype.type(1 - keep)


def increment_fused(old: Array, new: Array, keep: float) -> Array:
    return fused(new - old, old.dtype.type(1 - keep), old)


def from_new(old: Array, new: Array, keep: float) -> Array:
    """new - keep (new - old)."""
    return new - old.dtype.type(keep) * (new - old)


def factor(var: Array, n: int) -> Array:
    """n/(n - 1) is rounded first."""
    T = var.dtype.type
    return var * (T(n) / T(n - 1))


def product_over(var: Array, n: int) -> Array:
    T = var.dtype.type
    return var * T(n) / T(n - 1)


def debiased_by_power(average: Array, keep: float, updates: int) -> Array:
    T = average.dtype.type
    return average / (T(1) - T(keep) ** T(updates))


def debiased_by_products(average: Array, keep: float, updates: int) -> Array:
    """keep^t one factor at a time, as a counter that is multiplied at each step holds it."""
    T = average.dtype.type
    power = T(1)
    for _ in range(updates):
        power = power * T(keep)
    return average / (T(1) - power)
