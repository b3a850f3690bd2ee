"""What is lost where a product of several factors is flushed to zero on its way, in whatever order it is formed.

A product of three factors rounds alike in every order, but underflows elsewhere: with x - m = 1e-30, gamma = 1e-8 and
r = 1e4, gamma (x - m) is below the smallest normal float32, and gamma r (x - m) is not. The formulas of
layer_formulas.py have one or two of these orders; this adds what the others may lose. ERROR_BOUNDS.md, section 19.

A product that is flushed loses less than the smallest normal number times the factors that are still to come, and no
more than the whole term. `at_least_one` of every factor stands for whichever those are.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from reference.layer_formulas import LayerQuantities, size_of
from reference.quantity import Array, Quantity
from reference.statistics_error import growth

GRADUAL = 32.0
"""Products of a term, twice: where subnormal results are rounded to the nearest, each loses u of what a flush loses."""


@dataclass(frozen=True)
class Lost:
    """By observable, in units of the observable: what is to be added to the bounds of a layer's formulas."""

    layer: LayerQuantities

    @property
    def in_y(self) -> Array:
        """(n, C). The terms x gamma r, m gamma r; and three sums, which are flushed before gamma and r at worst."""
        sizes = self.x + self.m + 3
        return np.where((self.layer.gamma.value != 0) & self.not_all_zero, self.scale * sizes * self.slack, 0.0)

    @property
    def in_dgamma(self) -> Array:
        """(C,). The terms dy x r and dy m r, one by one."""
        terms = np.where((self.layer.dy.value != 0) & self.not_all_zero, self.dy * (self.x + self.m), 0.0)
        lost: Array = self.flush * self.r * terms.sum(axis=0) * self.slack
        return lost

    @property
    def in_prediction_dx(self) -> Array:
        """(n, C). One term: gamma r dy."""
        return np.where(self.has_gradient & (self.layer.dy.value != 0), self.scale * self.dy * self.slack, 0.0)

    def in_dx(self, per_std: Quantity | None) -> Array:
        """(n, C), in training. per_std: as for `dx_forms`.

        gamma r dy, also as gamma r/n (n dy); gamma r mean(dy); and the terms of gamma r xh c, which reverse mode has
        twice.
        """
        n = len(self.layer.x.value)
        by_itself = n * self.scale * self.dy
        mean_of_dy = self.scale * self.dy.sum(axis=0)
        third = self.third(per_std)
        sums = 6 * self.scale
        lost = self.slack * (by_itself + 4 * mean_of_dy + sums) + third + third.mean(axis=0)
        return np.where(self.has_gradient & (self.layer.dy.value != 0).any(axis=0), lost, 0.0)

    def third(self, per_std: Quantity | None) -> Array:
        """(n, C), of gamma r^3 f (x - m) mean(dy (x - m)), where f is 1 or `per_std`, and x - m may be two products."""
        layer, least = self.layer, self.flush
        f = 1.0 if per_std is None else np.abs(per_std.value) + per_std.radius
        r = layer.r.value + layer.r.radius
        x, dy = np.abs(layer.x.value) + size_of(layer.m), np.abs(layer.dy.value)
        # No part is smaller than the smallest normal number: evaluation in float64 must not underflow itself.
        normalized, scale = np.maximum(x * r, least), np.maximum(np.abs(layer.gamma.value) * r, least) * f
        whole = np.maximum(normalized * scale, least) * np.maximum(normalized * dy, least).mean(axis=0)
        sizes = self.x + self.m
        flushed = self.scale * self.r**2 * np.maximum(f, 1.0) * sizes * (sizes * self.dy).sum(axis=0) * self.slack
        lost = np.minimum(whole * self.slack, 8 * flushed) + layer.r.arithmetic.unit * GRADUAL * flushed
        return np.where(x > 0, lost, 0.0)

    # --- sizes of factors, at least 1 ---

    @property
    def flush(self) -> float:
        return self.layer.r.arithmetic.flush

    @property
    def slack(self) -> float:
        """For what is rounded before and after, and for results that underflow gradually."""
        unit = self.layer.r.arithmetic.unit
        return growth(len(self.layer.x.value), unit) * (1 + GRADUAL * unit)

    @cached_property
    def x(self) -> Array:
        return at_least_one(self.layer.x.value)

    @cached_property
    def m(self) -> Array:
        return at_least_one(size_of(self.layer.m))

    @cached_property
    def dy(self) -> Array:
        return at_least_one(self.layer.dy.value)

    @cached_property
    def r(self) -> Array:
        return at_least_one(self.layer.r.value + self.layer.r.radius)

    @cached_property
    def scale(self) -> Array:
        """The smallest normal number times gamma and r."""
        return self.flush * at_least_one(self.layer.gamma.value) * self.r

    @property
    def has_gradient(self) -> Array:
        return self.layer.gamma.value != 0

    @property
    def not_all_zero(self) -> Array:
        """x = m = 0 gives exact zeros."""
        return (self.layer.x.value != 0) | (size_of(self.layer.m) > 0)


def at_least_one(a: Array) -> Array:
    return np.maximum(np.abs(a), 1.0)
