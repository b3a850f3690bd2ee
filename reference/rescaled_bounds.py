"""How large a rounding error a batch norm may have whose input is multiplied by a number and divided by it before.

Quantization-aware training folds a batch norm into the convolution before it in training too: the weights are scaled by
s = gamma/sqrt(moving_var + eps), the convolution's result is divided by s, and goes through the batch norm as it is. On
paper nothing has changed. In floating point x is rounded on the way, dx on the way back, and dgamma gets two sums more,
the gradients of s in either place, which are each other's opposites. ERROR_BOUNDS.md, section 20, proves the bounds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from reference.error_bounds import Array, Bounds, Precision, batch_of, float64, quietly, stored
from reference.flushed_products import Lost, at_least_one
from reference.fold_bounds import FoldParameters, layer_of
from reference.layer_formulas import LayerQuantities, dx_forms, size_of, slope_of_root, y_forms
from reference.quantity import Arithmetic, Quantity
from reference.statistics_error import Batch, denominator, less_the_mean, scale_error, statistics_errors

ROUNDINGS = 3.0
"""Of a product and a division within an ulp."""


@quietly
def rescaled_train_bounds(
    x: NDArray[np.floating], dy: NDArray[np.floating], of: FoldParameters, precision: Precision
) -> Bounds:
    """Of one training step, as `train_bounds`, x and dy (n, C) in extended precision. Of sums in any order."""
    rescaling = Rescaling(layer_of(x, dy, of, precision), of)
    batch, off = batch_of(x), rescaling.off
    m_error, v_error = statistics_errors(greatest_sizes(batch, off), precision.work, precision.flush)
    moved = root_mean_square(off)
    m_error = m_error + off.mean(axis=0)
    v_error = v_error + (2 * np.sqrt(batch.var) + moved) * moved
    scale_off = scale_error(batch.var, v_error, of.eps, of.eps_at, precision.work)
    arithmetic = Arithmetic(precision.work, precision.flush, m_error, scale_off)
    root = denominator(batch.var, of.eps, of.eps_at)
    layer = LayerQuantities.of(arithmetic, batch, float64(dy), float64(of.gamma), float64(of.beta), root)
    layer = with_input_off(layer, batch, off)
    inside = of.eps_at == "inside_sqrt"
    per_std, bounded = (None, True) if inside else slope_of_root(layer, batch.var, v_error, of.eps)
    bounds = rescaling.bounds(layer, dx_forms(layer, per_std), Lost(sizes_of(layer)).in_dx(per_std), precision)
    bounds |= {name: np.where(bounded, bounds[name], np.inf) for name in ("dx", "dgamma")}
    return bounds | {"mean": m_error, "var": v_error}


@quietly
def rescaled_eval_bounds(
    x: NDArray[np.floating], dy: NDArray[np.floating], of: FoldParameters, precision: Precision
) -> Bounds:
    """In prediction, as `eval_bounds`."""
    plain = layer_of(x, dy, of, precision)
    rescaling = Rescaling(plain, of)
    batch = Batch(plain.x.value, plain.d.value, plain.m.value, float64(of.moving_var))
    layer = with_input_off(plain, batch, rescaling.off)
    dx = [layer.gamma * layer.r * layer.dy, layer.gamma * layer.dy * layer.r]
    return rescaling.bounds(layer, dx, Lost(sizes_of(layer)).in_prediction_dx, precision)


@dataclass(frozen=True)
class Rescaling:
    """By s = gamma/sqrt(moving_var + eps) and back; `layer` is the one that predicts."""

    layer: LayerQuantities
    of: FoldParameters

    @property
    def s(self) -> tuple[Array, Array]:
        """The least and the greatest that |s| may be once it is computed, (C,)."""
        r, gamma, of = self.layer.r, np.abs(self.layer.gamma.value), self.of
        greatest_var = float64(of.moving_var) + float64(of.moving_var_bound)
        least = gamma / denominator(greatest_var, of.eps, of.eps_at) * (1 - 6 * r.arithmetic.unit)
        return least, gamma * r.value * (1 + r.arithmetic.scale_error)

    @property
    def off(self) -> Array:
        """(n, C): how far x may be from what it was. Nothing where gamma is 0: that leaves 0/0, and is not honest."""
        x, flush = np.abs(self.layer.x.value), self.layer.r.arithmetic.flush
        off = self.twice_rounded(x) + flush * (1 / self.s[0] + 3)
        return np.where((x > 0) & (self.layer.gamma.value != 0), off, 0.0)

    def twice_rounded(self, a: Array) -> Array:
        unit = self.layer.r.arithmetic.unit
        return ROUNDINGS * unit * (1 + ROUNDINGS * unit) * a

    def bounds(self, layer: LayerQuantities, dx: list[Quantity], lost: Array, precision: Precision) -> Bounds:
        """layer: whose input is off. dx, lost: by whichever formulas, and what others lose to underflow."""
        own = stored(dx, replace(precision, io=precision.work), lost)
        gradient = np.abs(dx[0].value) + own
        sizes = Lost(sizes_of(layer))
        dgamma = layer.dgamma.radius + sizes.in_dgamma
        return {
            "y": stored(y_forms(layer), precision, sizes.in_y),
            "dx": stored(dx, precision, lost + self.on_the_way_back(gradient)),
            "dgamma": dgamma + self.gradients_of_s(layer, gradient, dgamma),
            "dbeta": float64(layer.sum_dy.radius),
        }

    def on_the_way_back(self, gradient: Array) -> Array:
        """(n, C): the layer's own gradient, of this size at most, is divided by s and multiplied by it."""
        lost = self.layer.r.arithmetic.flush * (self.s[1] + 3)
        return np.where((gradient > 0) & (self.layer.gamma.value != 0), self.twice_rounded(gradient) + lost, 0.0)

    def gradients_of_s(self, layer: LayerQuantities, gradient: Array, dgamma: Array) -> Array:
        """(C,): what they add to dgamma's bound: (sum((dx/s) x) - sum(dx (x'/s)))/sqrt(moving_var + eps)."""
        arithmetic, size = layer.r.arithmetic, size_of(layer.x)
        unit, flush = arithmetic.unit, arithmetic.flush
        per_gamma = (1 + 8 * unit) / np.abs(layer.gamma.value)
        products = arithmetic.rounded(Quantity(gradient * size, arithmetic), ROUNDINGS).sum()
        sums = (gradient * self.off).sum(axis=0) + 2 * (products.radius + flush * size.sum(axis=0))
        quotients = (at_least_one(gradient) + at_least_one(size) + 4).sum(axis=0)
        added = per_gamma * sums + flush * (at_least_one(size_of(self.layer.r)) * quotients + 2)
        added = added + unit * (np.abs(layer.dgamma.value) + dgamma + added)
        return np.where((layer.gamma.value != 0) & (gradient > 0).any(axis=0), added, 0.0)


@dataclass(frozen=True)
class Sizes(Batch):
    """In place of each number of a batch the greatest that its absolute value may be."""

    apart: Array

    @property
    def from_first(self) -> Array:
        return self.apart


def greatest_sizes(batch: Batch, off: Array) -> Sizes:
    """Where each x may be off by so much, (n, C)."""
    of_mean = off.mean(axis=0)
    return Sizes(
        np.abs(batch.x) + off,
        np.abs(batch.d) + off + of_mean,
        np.abs(batch.mean) + of_mean,
        (np.sqrt(batch.var) + root_mean_square(off)) ** 2,
        batch.from_first + off + off[0],
    )


def root_mean_square(off: Array) -> Array:
    """(C,): the standard deviation moves by no more."""
    return float64(np.sqrt(np.mean(off**2, axis=0)))


def with_input_off(layer: LayerQuantities, batch: Batch, off: Array) -> LayerQuantities:
    arithmetic = layer.r.arithmetic
    x = Quantity(layer.x.value, arithmetic, rest=layer.x.rest + off)
    return replace(layer, x=x, d=less_the_mean(batch, arithmetic, x.rest))


def sizes_of(layer: LayerQuantities) -> LayerQuantities:
    """For `Lost`, which asks for the sizes of factors: x by the greatest that it may be."""
    return replace(layer, x=layer.r.arithmetic.exact(size_of(layer.x)))
