"""What underflow adds to the error of forward mode and second derivatives, whose products are long.

The formulas of `second_derivative_bounds.py` form each product in one order. In another one a part of it may be flushed
to zero, and what is multiplied by it later may be large: r^5 before x - mean and two sums. ERROR_BOUNDS.md, section 16.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from reference.error_bounds import float64
from reference.layer_formulas import LayerQuantities
from reference.quantity import Array, Quantity
from reference.statistics_error import growth

PRODUCTS_OF_A_RESULT = 24 * 42.0
"""The products that may underflow in a value: at most 24 terms, of six factors and the roundings of each."""


class Underflow:
    """What products that are flushed to zero on the way, in whatever order they are formed, add to a value, (C,).

    Such a product loses the smallest normal number at most, and that times the factors that are still to come.
    """

    def __init__(self, layer: LayerQuantities, a: ArrayLike, b: ArrayLike, f: Quantity | None = None) -> None:
        """a (n, C), b (C,): the directions of x and gamma. f: that of second_derivatives.py, in training alone."""
        arithmetic, n = layer.r.arithmetic, len(layer.x.value)
        self.of_batch, self.n = f is not None, float(n)
        self.a, self.g = (at_least_one(np.abs(float64(rows))) for rows in (a, layer.dy.value))
        self.gamma = at_least_one(np.abs(layer.gamma.value)) * at_least_one(np.abs(float64(b)))
        self.x = at_least_one(np.abs(layer.x.value) + np.abs(layer.m.value) + layer.m.radius)
        self.r = at_least_one(layer.r.value + layer.r.radius)
        self.f = at_least_one(np.abs(f.value) + f.radius) if f is not None else 1.0
        each = PRODUCTS_OF_A_RESULT * growth(n, arithmetic.unit) * arithmetic.flush
        self.each = np.where(self.r**5 * arithmetic.flush < 1, each, np.inf)  # std^5, to divide by, is not flushed

    @property
    def ty(self) -> Array:
        """gamma r a, ddgamma r x; in training gamma r^3 f d mean(a d)."""
        in_both = self.each * self.gamma * self.a * self.x
        return in_both * self.n * self.x * self.r**3 * self.f if self.of_batch else in_both * self.r

    @property
    def dx2(self) -> Array:
        """ddgamma r g; in training gamma r^5 f^3 d mean(a d) mean(g d), and with fewer of these factors."""
        in_both = self.each * self.gamma * self.g
        if not self.of_batch:
            return in_both * self.r
        return in_both * self.n * self.a * self.x**3 * self.r**5 * self.f**3

    @property
    def dgamma2(self) -> Array:
        """r sum(a g); in training n r^3 f mean(a d) mean(g d), where 1/n may be inside a sum."""
        in_both = self.each * self.n * self.a * self.g
        return in_both * self.n * self.x**2 * self.r**3 * self.f if self.of_batch else in_both * self.r


def at_least_one(sizes: Array) -> Array:
    """The greatest of a channel, (n, C) or (C,) -> (C,), or 1."""
    return np.maximum(sizes.max(axis=0) if sizes.ndim > 1 else sizes, 1.0)
