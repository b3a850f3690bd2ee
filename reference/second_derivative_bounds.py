"""How large a rounding error honest forward mode and second derivatives may have, from the data alone.

`error_bounds.py` once more, for the formulas of `second_derivatives.py`: each is a sum of monomials in x, dy, ddx, the
parameters and the scale, which is evaluated with quantities that carry their error. ERROR_BOUNDS.md, section 16, says
which algorithms are honest and proves that none exceeds the greatest of these forms.

Notation: a' = ddx - mean(ddx), g' = dy - mean(dy), h = mean(ddx xh), c = mean(dy xh), T = mean(a' g').
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reference.error_bounds import (
    Bounds,
    Precision,
    float64,
    layer_of_batch,
    layer_of_statistics,
    quietly,
    stored,
)
from reference.layer_formulas import LayerQuantities, size_of, slope_of_root
from reference.quantity import Array, Quantity, added
from reference.underflow_error import Underflow

ROUNDINGS_IN_A_SUM = 12.0
"""What a term of a sum over the rows takes at most, all powers of the scale in it being quotients."""

ROUNDINGS_OF_A_TERM = 24.0
"""What a term of a result takes at most, r^2 being 1/(var + eps) in two places: 10 each, and 4."""

ROUNDINGS_APART = 8.0
"""What x and the mean take in forward mode, each by itself: four of (gamma/std)/std, two products, two sums."""


@dataclass(frozen=True)
class DirectionRows:
    """Along which a derivative is taken: tangents, or (ddx, ddgamma, ddbeta). rows (n, C), in extended precision; the
    rest (C,)."""

    rows: NDArray[Any]
    gamma: NDArray[Any]
    beta: NDArray[Any]


@dataclass(frozen=True)
class Point:
    """Where it is taken: x, dy (n, C) in extended precision; gamma, beta (C,), eps and where it is added.

    dy is ignored in forward mode.
    """

    x: NDArray[Any]
    dy: NDArray[Any]
    gamma: NDArray[Any]
    beta: NDArray[Any]
    eps: float
    eps_at: str = "inside_sqrt"


@quietly
def train_derivative_bounds(
    point: Point,
    directions: DirectionRows,
    precision: Precision,
    extra_var_error: ArrayLike = 0.0,
    summation: str = "any",
    forward_mode: bool = False,
) -> Bounds:
    """Bounds of the derivatives of a training step, at least one value a channel.

    Returns float64: ty and ddy, which are the same, and dx2 (n, C); dgamma2 and var (C,), of which var is that of the
    biased batch variance. forward_mode: ty and var are enough.
    extra_var_error, summation and what is raised: as `error_bounds.train_bounds`.
    """
    layer, batch, _, v_error = layer_of_batch(
        point.x, point.dy, point.gamma, point.beta, point.eps, precision, point.eps_at, extra_var_error, summation
    )
    slope, bounded = _slope(layer, batch.var, v_error, point)
    forms = Forms(layer, directions, slope)
    small = Underflow(layer, directions.rows, directions.gamma, forms.f)
    ty = _if_bounded(bounded, stored(forms.ty, precision) + small.ty)
    if forward_mode:
        return {"ty": ty, "var": v_error}
    return {
        "ty": ty,
        "ddy": ty,
        "dx2": _if_bounded(bounded, stored(forms.dx2, precision) + small.dx2),
        "dgamma2": _if_bounded(bounded, np.max([form.radius for form in forms.dgamma2], axis=0) + small.dgamma2),
        "var": v_error,
    }


@quietly
def eval_derivative_bounds(
    point: Point,
    directions: DirectionRows,
    moving: tuple[ArrayLike, ArrayLike],
    moving_bounds: tuple[ArrayLike, ArrayLike],
    precision: Precision,
    summation: str = "any",
) -> Bounds:
    """Bounds of the derivatives in prediction, by moving statistics (mean, var) that bring their own errors; (C,)."""
    layer = layer_of_statistics(
        point.x, point.dy, point.gamma, point.beta, point.eps, precision, point.eps_at, moving, moving_bounds, summation
    )
    a, g, b = _exact_directions(layer, directions)
    x_hat, r = by_shift(layer) * layer.r, layer.r
    small = Underflow(layer, directions.rows, directions.gamma)
    of_m = r.arithmetic.exact(np.zeros_like(r.value))  # one addition more: x s and m s may be terms of their own
    ty = stored([added(loose(a * (layer.gamma * r)), loose(x_hat * g), of_m, b)], precision) + small.ty
    by_terms, outside = summed(a * layer.dy * r), loose((a * layer.dy).sum() * r)
    return {
        "ty": ty,
        "ddy": ty,
        "dx2": stored([loose(g * r * layer.dy)], precision) + small.dx2,
        "dgamma2": np.maximum(float64(by_terms.radius), float64(outside.radius)) + small.dgamma2,
    }


def _slope(layer: LayerQuantities, var: Array, v_error: Array, point: Point) -> tuple[Quantity | None, Any]:
    if point.eps_at == "inside_sqrt":
        return None, True
    return slope_of_root(layer, var, v_error, point.eps)


def _if_bounded(bounded: Any, bound: Array) -> Array:
    return np.where(bounded, bound, np.inf)


def _exact_directions(layer: LayerQuantities, directions: DirectionRows) -> tuple[Quantity, Quantity, Quantity]:
    exact = layer.r.arithmetic.exact
    return exact(float64(directions.rows)), exact(float64(directions.gamma)), exact(float64(directions.beta))


class Forms:
    """The forms of each observable. slope: f, where eps is outside the root; None for 1."""

    def __init__(self, layer: LayerQuantities, directions: DirectionRows, slope: Quantity | None) -> None:
        self.layer = layer
        self.n = len(layer.x.value)
        self.a, self.ddgamma, self.ddbeta = _exact_directions(layer, directions)
        one, two, three = (layer.r.arithmetic.exact(np.full_like(layer.r.value, number)) for number in (1, 2, 3))
        self.f = one if slope is None else slope
        self.curvature = three if slope is None else slope * slope * (slope + two)

    # --- means over the rows ---

    @cached_property
    def mean_a(self) -> Quantity:
        return self.a.sum().over(self.n)

    @cached_property
    def mean_g(self) -> Quantity:
        return self.layer.sum_dy.over(self.n)

    @cached_property
    def centred_a(self) -> Quantity:
        return self.a - self.mean_a

    @cached_property
    def centred_g(self) -> Quantity:
        return self.layer.dy - self.mean_g

    @cached_property
    def x_hat(self) -> Quantity:
        return self.layer.d_regrouped * self.layer.r

    @cached_property
    def x_hat_along_gamma(self) -> Quantity:
        """The same where x s and m s are each added to something before they meet: x scale + shift in forward over
        forward, along gamma."""
        return self.layer.difference_of_sums(1) * self.layer.r

    @cached_property
    def x_hat_along_x(self) -> Quantity:
        """The same along x: they are added to two things."""
        return self.layer.difference_of_sums(2) * self.layer.r

    @cached_property
    def x_hat_by_shift(self) -> Quantity:
        return x_and_m_apart(self.layer) * self.layer.r

    @cached_property
    def h(self) -> tuple[Quantity, Quantity]:
        """mean(ddx xh), and with a' in place of ddx."""
        of_a = replace(self.layer, dy=self.a)
        return self._projected(self.a, of_a), self._projected(self.centred_a)

    @cached_property
    def c(self) -> tuple[Quantity, Quantity]:
        """mean(dy xh), and with g' in place of dy."""
        return self._projected(self.layer.dy, self.layer), self._projected(self.centred_g)

    def _projected(self, rows: Quantity, layer: LayerQuantities | None = None) -> Quantity:
        """mean(rows xh), whose terms take more roundings than with all powers of the scale inside the sum.

        layer: one whose dy are these rows, where x and the mean may be multiplied by them apart, as in its dgamma.
        """
        whole = summed(rows * self.x_hat)
        if layer is not None:
            any_order = layer.r.arithmetic.summation == "any"
            whole = whole.or_worse(layer.projection(ROUNDINGS_IN_A_SUM) if any_order else layer.dgamma)
        return whole.over(self.n)

    @cached_property
    def both(self) -> Quantity:
        """T: mean(a' g'), or with one or both as they are, less the product of the means where it is both."""
        a, g = (self.a, self.centred_a), (self.layer.dy, self.centred_g)
        whole = summed(a[0] * g[0]) - self.a.sum() * self.mean_g
        for one, other in ((0, 1), (1, 0), (1, 1)):
            whole = whole.or_worse(summed(a[one] * g[other]))
        return whole.over(self.n)

    # --- observables ---

    @cached_property
    def ty(self) -> list[Quantity]:
        """gamma r (a' - xh f h) + ddgamma xh + ddbeta; also transposed, gamma r (a - xh f h) less its mean."""
        scale, x_hat = self.layer.gamma * self.layer.r, self.x_hat_by_shift
        of_x = (loose(scale * self.a), loose(-(scale * self.mean_a)))
        of_parameters = (loose(x_hat * self.ddgamma), self.ddbeta)
        closed = [added(*of_x, loose(-(x_hat * (scale * self.f * h))), *of_parameters) for h in self.h]
        transposed = [
            self._less_its_mean(
                [loose(scale * a), loose(-(self.layer.d * (self.layer.r * scale * self.f * h)))], of_parameters
            )
            for a, h in self._ways
        ]
        return closed + transposed

    @property
    def _ways(self) -> tuple[tuple[Quantity, Quantity], ...]:
        """ddx, or a', and its h."""
        return (self.a, self.h[0]), (self.centred_a, self.h[1])

    def _less_its_mean(self, terms: list[Quantity], others: tuple[Quantity, ...] = ()) -> Quantity:
        """The sum of terms (n, C), less its mean over the rows, made at once or term by term; and others."""
        whole, apart = added(*terms).sum(), added(*(term.sum() for term in terms))
        return added(*terms, -(whole.or_worse(apart).over(self.n)), *others)

    @cached_property
    def dgamma2(self) -> list[Quantity]:
        """n r (T - f h c), or the sum of ddx r (g' - xh f c), or of dy r (a' - xh f h)."""
        r, f = self.layer.r, self.f
        by_n = r.arithmetic.exact(np.full_like(r.value, self.n))
        closed = [
            added(loose(self.both * r * by_n), loose(-(h * c * f * r * by_n))) for h, c in product(self.h, self.c)
        ]
        return [*closed, *self._summed(self.a, self.centred_a, self.layer.dy, self.mean_g, self.c),
                *self._summed(self.layer.dy, self.centred_g, self.a, self.mean_a, self.h)]  # fmt: skip

    def _summed(
        self, rows: Quantity, centred: Quantity, of: Quantity, mean: Quantity, projections: tuple[Quantity, Quantity]
    ) -> Iterator[Quantity]:
        """sum(rows r (of - mean - xh f projection))."""
        r = self.layer.r
        for factor, projection in product((rows, centred), projections):
            terms = (of * r, -(mean * r), -(self.x_hat_along_gamma * (projection * self.f * r)))
            yield added(*(loose(factor * term) for term in terms)).sum()

    @cached_property
    def dx2(self) -> list[Quantity]:
        by_autodiff = [
            self._by_autodiff(a, h, g, c)
            for (a, h), g, c in product(self._ways, (self.layer.dy, self.centred_g), self.c)
        ]
        return [self._closed(h, c) for h, c in product(self.h, self.c)] + by_autodiff

    def _closed(self, h: Quantity, c: Quantity) -> Quantity:
        """gamma r^2 (xh ((2 f^2 + f^3) h c - f T) - f (a' c + g' h)) + ddgamma r (g' - xh f c), multiplied out."""
        r, f, x_hat = self.layer.r, self.f, self.x_hat_along_x
        square, slope = self.layer.gamma * r * r, self.ddgamma * r
        factors = (
            (x_hat, square * self.curvature * h * c),
            (x_hat, -(square * f * self.both)),
            (self.a, -(square * f * c)),
            (self.mean_a, square * f * c),
            (self.layer.dy, -(square * f * h)),
            (self.mean_g, square * f * h),
            (self.layer.dy, slope),
            (self.mean_g, -slope),
            (x_hat, -(slope * f * c)),
        )
        return added(*(loose(rows * factor) for rows, factor in factors))

    def _by_autodiff(self, a: Quantity, h: Quantity, g: Quantity, c: Quantity) -> Quantity:
        """The gradient t by x - mean, less the mean of t, as differentiating once more gives it.

        a and g: a' and dy for the composition; either for the closed form of backward.
        """
        r, f = self.layer.r, self.f
        square, slope = self.layer.gamma * r * r, self.ddgamma * r
        by_var = (square * r * self.curvature * h * c, -(square * r * f * self.both), -(slope * r * f * c))
        terms = [
            loose(self.layer.d * added(*(loose(part) for part in by_var))),
            loose(a * -(square * f * c)),
            loose(g * -(square * f * h)),
            loose(g * slope),
        ]
        return self._less_its_mean(terms)


def by_shift(layer: LayerQuantities) -> Quantity:
    """x s - m s over s, where a derivative of x scale + shift adds other terms to each of the two first."""
    d, x, m = layer.d_regrouped, layer.x, layer.m
    arithmetic = d.arithmetic
    once_more = arithmetic.unit * (size_of(x) + 2 * size_of(m)) + 2 * arithmetic.flush
    return Quantity(d.value, arithmetic, d.mean, d.scale, d.rest * (1 + 8 * arithmetic.unit) + once_more)


def x_and_m_apart(layer: LayerQuantities) -> Quantity:
    """The same where s may be made anew for each, as in a derivative of (gamma/std) x + (beta - gamma m/std).

    A layer that declares its sums makes it once.
    """
    declared = layer.r.arithmetic.summation != "any"
    return by_shift(layer) if declared else layer.difference(ROUNDINGS_APART, ROUNDINGS_APART)


def loose(term: Quantity, roundings: float = ROUNDINGS_OF_A_TERM) -> Quantity:
    """A monomial that may be grouped anyhow."""
    return term.arithmetic.rounded(term, roundings)


def summed(terms: Quantity) -> Quantity:
    """The sum over the rows of monomials that may be grouped anyhow."""
    return loose(terms, ROUNDINGS_IN_A_SUM).sum()
