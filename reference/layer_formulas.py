"""The formulas of a batch norm, written with quantities that carry their error: y, dgamma, dx.

Where algorithms differ, each form that rounds most is here; ERROR_BOUNDS.md, sections 8 and 9, says why no other one
exceeds them. Notation, a channel at a time: m, v the exact batch statistics, d = x - m, r = 1/sqrt(v + eps).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from reference.quantity import Arithmetic, Array, Quantity, added
from reference.statistics_error import Batch, less_the_mean

PRODUCTS = 11.0
"""Roundings of x/std gamma T/std/n, where divisions are within an ulp, and of two additions to it: `Layer.d_apart`."""


@dataclass(frozen=True)
class LayerQuantities:
    """The quantities that the formulas are made of: x, dy, d (n, C); gamma, beta, m, r (C,)."""

    x: Quantity
    dy: Quantity
    gamma: Quantity
    beta: Quantity
    m: Quantity
    r: Quantity
    d: Quantity
    """x - m, as it is computed."""

    @classmethod
    def of(
        cls, arithmetic: Arithmetic, batch: Batch, dy: Array, gamma: Array, beta: Array, root: Array
    ) -> LayerQuantities:
        exact = arithmetic.exact
        x, r = exact(batch.x), 1 / root
        m = Quantity(batch.mean, arithmetic, mean=np.ones_like(r))
        scale = Quantity(r, arithmetic, scale=r, rest=arithmetic.flush)
        return cls(x, exact(dy), exact(gamma), exact(beta), m, scale, less_the_mean(batch, arithmetic, x.rest))

    @cached_property
    def d_regrouped(self) -> Quantity:
        """x s - m s over s, whatever s is: its two products are rounded, and what is added to them.

        Never better than d.
        """
        return self.difference(3.0, 3.0) if self.r.arithmetic.summation == "any" else self.difference(1.0, 2.0)

    @property
    def d_apart(self) -> Quantity:
        """The same where s is made anew for each product, factor by factor; as in (gamma x/std) T/std/n."""
        return self.difference(PRODUCTS, PRODUCTS)

    def difference_of_sums(self, additions: int) -> Quantity:
        """The same where x s and m s are products of one s, each added to so many things, two at most, before they
        meet. Of sums in any order d_regrouped has as many roundings."""
        if self.r.arithmetic.summation == "any":
            return self.d_regrouped
        return self.difference(1.0 + additions, 1.0 + additions)

    def difference(self, of_x: float, of_m: float) -> Quantity:
        """x s - m s over s, by how often each of the two is rounded before they meet."""
        arithmetic, u = self.r.arithmetic, self.r.arithmetic.unit
        products = u * (1 + 8 * u) * (of_x * size_of(self.x) + of_m * size_of(self.m))
        rest = self.x.rest + products + max(of_x, of_m) * arithmetic.flush
        return arithmetic.rounded(Quantity(self.d.value, arithmetic, mean=self.d.mean, rest=rest))

    @cached_property
    def sum_dy(self) -> Quantity:
        return self.dy.sum()

    @cached_property
    def dy_xh(self) -> Quantity:
        return self.dy * (self.d_regrouped * self.r)

    @cached_property
    def sum_dy_x(self) -> Quantity:
        return (self.dy * self.x).sum()

    @cached_property
    def dgamma(self) -> Quantity:
        """sum(dy xh), or what a layer that declares its sums makes of it."""
        return self.dgamma_of_centred if self.r.arithmetic.summation != "any" else self.projection(3.0)

    def projection(self, roundings: float) -> Quantity:
        """sum(dy xh), xh as x r - m r, by whose products made apart or not; or sum(dy x)/std - m sum(dy)/std.

        roundings: of a product dy x r. Three: a division within an ulp, and a product.
        """
        r, rounded = self.r, self.r.arithmetic.rounded
        of_x, of_m = self.times_x_and_m(self.dy.exact_product(r), roundings)
        by_terms = self.dy_xh.or_worse(of_x - of_m).sum()
        sums = self.sum_dy_x.exact_product(r), self.sum_dy.exact_product(self.m.exact_product(r))
        by_sums = rounded(sums[0], roundings - 1) - rounded(sums[1], roundings)
        return by_terms.or_worse(by_sums)

    def times_x_and_m(self, factor: Quantity, roundings: float) -> tuple[Quantity, Quantity]:
        """x and m times a product, each grouped in a way of its own: their roundings do not cancel."""
        rounded = self.r.arithmetic.rounded
        of_x, of_m = (rounded(a.exact_product(factor), roundings) for a in (self.x, self.m))
        return of_x, of_m

    @cached_property
    def dgamma_of_centred(self) -> Quantity:
        """sum(dy (d/std)), or r sum(dy d), d = x - m: what a layer that declares its sums says that it computes."""
        return (self.dy * divided(self.d, self.r)).sum().or_worse((self.dy * self.d).sum() * self.r)


def divided(a: Quantity, r: Quantity) -> Quantity:
    """a over the inverse of r: a division within an ulp."""
    return r.arithmetic.rounded(a.exact_product(r), 2.0)


def size_of(a: Quantity) -> Array:
    """The greatest that the computed number may be, without its sign."""
    return np.abs(a.value) + a.radius


def y_forms(layer: LayerQuantities) -> list[Quantity]:
    """gamma (x r - m r) + beta, which no grouping of (x - m) r exceeds, and x scale + (beta - m scale).

    Where sums are not declared, also x scale and m scale that are made apart.
    """
    g, b, x, m, r = layer.gamma, layer.beta, layer.x, layer.m, layer.r
    scale = as_one_error(g * r)
    forms = [g * (x * r - m * r) + b, x * scale + (b - m * scale), (layer.d * r) * g + b, layer.d * (g * r) + b]
    return forms if r.arithmetic.summation != "any" else forms + y_of_products_apart(layer)


def as_one_error(scale: Quantity) -> Quantity:
    """A product of r, whose whole error is common to the channel, as a dependence on r's error in its place."""
    p = scale.arithmetic.scale_error
    return Quantity(scale.value, scale.arithmetic, scale=scale.radius / p, rest=0.0 * scale.value)


def y_of_products_apart(layer: LayerQuantities) -> list[Quantity]:
    """x (gamma r) and m (gamma r), each product grouped in a way of its own, and beta: their roundings do not cancel.

    Ioffe and Szegedy 2015, algorithm 2, line 11, read literally: (gamma/std) x + (beta - gamma m/std).
    """
    # Three roundings: a division within an ulp, and a product.
    of_x, of_m = layer.times_x_and_m(layer.gamma.exact_product(layer.r), 3.0)
    return [of_x + (layer.beta - of_m), (of_x + layer.beta) - of_m, (of_x - of_m) + layer.beta]


def dx_forms(layer: LayerQuantities, per_std: Quantity | None) -> list[Quantity]:
    """The closed form of Ioffe and Szegedy 2015, section 3, grouped anyhow; and reverse mode through mean and var.

    per_std: the factor of the third term where eps is outside the root; see `slope_of_root`.
    """
    n = len(layer.x.value)
    closed = dx_of_declared_sums if layer.r.arithmetic.summation != "any" else dx_of_products_apart
    return [closed(layer, n, per_std), reverse_mode(layer, n, per_std)]


def dx_of_declared_sums(layer: LayerQuantities, n: int, per_std: Quantity | None) -> Quantity:
    """The closed form with scale and mean(dy xh) made once for a channel, its three terms added in any order.

    Also (gamma r/n) (n dy - sum(dy) - ...), and a dy + b x + c, where what is added to b x rounds it once more.
    """
    g, dy, r, rounded = layer.gamma, layer.dy, layer.r, layer.r.arithmetic.rounded
    c = layer.dgamma.over(n)  # mean(dy xh)
    if per_std is not None:
        c = c * per_std
    scale = g * r
    of_dy, mean = scale * dy, scale * layer.sum_dy.over(n)
    if n & (n - 1):  # n dy; 1/n within an ulp, and a product with it
        of_dy = rounded(of_dy, 4.0)
    third = rounded(layer.difference(2.0, 2.0) * r * (scale * c), 4.0)  # r^2 may be 1/(var + eps)
    return ((of_dy - mean) - third).or_worse((of_dy - third) - mean).or_worse(of_dy - (mean + third))


def dx_of_products_apart(layer: LayerQuantities, n: int, per_std: Quantity | None) -> Quantity:
    """The closed form multiplied out, a term for x and another for m, each product grouped in a way of its own.

    Nothing rounds less where scale and mean(dy xh) are made anew for each product:
    gamma dy/std - gamma sum(dy)/std/n - x/std gamma T/std/n + m/std gamma T/std/n, T = sum(dy xh). gamma and 1/n may
    be inside a sum, n may multiply dy. The four terms are added in any order.
    """
    scale, rounded = layer.gamma.exact_product(layer.r), layer.r.arithmetic.rounded
    upstream = layer.dy.exact_product(scale)
    mean = rounded(upstream, 6.0).sum().over(n)  # a division by std within an ulp, gamma, 1/n and its product
    c = layer.projection(7.0).over(n)  # and a product
    if per_std is not None:
        c = c * per_std
    third = layer.d_apart.exact_product(layer.r).exact_product(scale.exact_product(c))
    # Division by std, gamma, n; and each has a third addition.
    of_dy, mean, third = rounded(upstream, 5.0), rounded(mean), rounded(third)
    return added(of_dy, -mean, -third)


def reverse_mode(layer: LayerQuantities, n: int, per_std: Quantity | None) -> Quantity:
    """dx by way of dr, dv and dm, as autodiff does it.

    For y = gamma (x - m) r + beta or x scale + shift; and for y = gamma (x - m)/std + beta, which divides each value,
    within an ulp, in the sum as well.
    """
    g, r, d = layer.gamma, layer.r, layer.d
    upstream = g * layer.dy
    dr = (upstream * d).sum().or_worse((layer.sum_dy_x - layer.m * layer.sum_dy) * g)
    by_products = dr * (r * r * r).times(-0.5)
    by_quotients = (upstream * divided(divided(d, r), r)).sum() * r.times(-0.5)
    dv = r.arithmetic.rounded(by_products.or_worse(by_quotients), 6.0)  # six more for the other ways to get r^3
    return through_statistics(layer, dv, divided(upstream, r), n, per_std)


def through_statistics(
    layer: LayerQuantities, dv: Quantity, through_x: Quantity, n: int, per_std: Quantity | None
) -> Quantity:  # fmt: skip
    """dx from the gradient of the variance and from what comes through x - m alone. ERROR_BOUNDS.md, section 9."""
    if per_std is not None:
        dv = dv * per_std
    half = layer.d * dv.over(n)  # of what comes through v: d * d has a derivative by each of its factors
    both = (through_x + half) + half
    apart = (through_x.sum() + half.sum()) + half.sum()
    dm = apart.or_worse(both.sum())  # their sums, or their terms are added first
    return in_any_order(through_x, half, -dm.over(n))


def in_any_order(a: Quantity, half: Quantity, b: Quantity) -> Quantity:
    """a + half + half + b by every tree of additions; 2 half, which is exact, rounds less."""
    with_a, with_b, apart = a + half, b + half, a + b
    chains = (with_a + half) + b, (with_a + b) + half, (apart + half) + half, (with_b + half) + a, (with_b + a) + half
    worst = with_a + with_b
    for chain in chains:
        worst = worst.or_worse(chain)
    return worst


def slope_of_root(layer: LayerQuantities, v: Array, v_error: Array, eps: float) -> tuple[Quantity, NDArray[np.bool_]]:
    """(sqrt(v) + eps)/sqrt(v): with eps outside the root, dr/dv = -r^2/(2 sqrt(v)) and not -r^3/2.

    Second, where it has a bound at all: not where the variance may be 0. ERROR_BOUNDS.md, section 9.
    """
    u = layer.r.arithmetic.unit
    s, s_low, s_high = np.sqrt(v), np.sqrt(np.maximum(v - v_error, 0)), np.sqrt(v + v_error)
    slope = (s + eps) / s
    share = np.maximum((s_low + eps) / s_low / slope - 1, 1 - (s_high + eps) / s_high / slope) + 8 * u
    bounded = ~(s_low <= 0)
    slope, rest = np.where(bounded, slope, 1.0), np.where(bounded, slope * share, 0.0)
    return Quantity(slope, layer.r.arithmetic, rest=rest), bounded
