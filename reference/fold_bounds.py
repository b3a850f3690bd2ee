"""How large a rounding error prediction may have where the batch norm was folded into a convolution or dense layer.

    z = sum_k x_k w_k + b,  y = gamma (z - m) r + beta      becomes      y = sum_k x_k w'_k + b'

with w' = w (gamma r) and b' = (b - m) gamma r + beta, rounded when they are made. w' and b' have the error of r in
common, but each has roundings of its own, which do not cancel where z is near m: a fold is less accurate than
x scale + shift with one scale. ERROR_BOUNDS.md, section 18, proves the bound.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reference.error_bounds import Array, Bounds, Precision, float64, layer_of_statistics, quietly, stored
from reference.flushed_products import Lost, at_least_one
from reference.layer_formulas import LayerQuantities, divided
from reference.quantity import Quantity, added


@dataclass(frozen=True)
class FoldedInto:
    """What a batch norm is folded into, for each of its channels: weights (K, C), the products of an output; bias (C,).

    All in float64 or wider.
    """

    weight: NDArray[np.floating]
    bias: NDArray[np.floating]


@dataclass(frozen=True)
class FoldParameters:
    """Of the batch norm: all (C,). The moving statistics may be off by what is given after them."""

    gamma: ArrayLike
    beta: ArrayLike
    moving_mean: ArrayLike
    moving_var: ArrayLike
    eps: float
    eps_at: str = "inside_sqrt"
    moving_mean_bound: ArrayLike = 0.0
    moving_var_bound: ArrayLike = 0.0


@quietly
def folded_bounds(
    x: NDArray[np.floating], dy: NDArray[np.floating], of: FoldParameters, precision: Precision
) -> Bounds:
    """Folded into a convolution or product that does nothing, weight 1 and bias 0: x, dy (n, C) -> y, dx (n, C)."""
    channels = x.shape[1]
    identity = FoldedInto(np.ones((1, channels)), np.zeros(channels))
    fold = Fold(layer_of(x, dy, of, precision), identity)
    scale = fold.weight(0)
    layer = fold.layer
    y, dx = fold.output([layer.x * scale]), layer.dy * scale
    lost = Lost(layer)
    return {
        "y": stored([y], precision, fold.lost(layer.x.value[:, None])),
        "dx": stored([dx], precision, lost.in_prediction_dx),
    }


@quietly
def folded_output_bound(x: NDArray[np.floating], linear: FoldedInto, of: FoldParameters, precision: Precision) -> Array:
    """Folded into sum_k x_k w_k + b, added in any order, the bias anywhere in it: of y (n, C).

    x: (n, K, C), or (n, K, 1) where all channels have the same inputs, as in a dense layer.
    """
    z = (x * linear.weight).sum(axis=1) + linear.bias
    fold = Fold(layer_of(z, np.zeros_like(z), of, precision), linear)
    exact = fold.layer.r.arithmetic.exact
    terms = [exact(float64(x[:, k])) * fold.weight(k) for k in range(x.shape[1])]
    return stored([fold.output(terms)], precision, fold.lost(float64(x)))


def layer_of(
    z: NDArray[np.floating], dy: NDArray[np.floating], of: FoldParameters, precision: Precision
) -> LayerQuantities:
    return layer_of_statistics(
        z, dy, of.gamma, of.beta, of.eps, precision, of.eps_at, (of.moving_mean, of.moving_var),
        (of.moving_mean_bound, of.moving_var_bound), "any",
    )  # fmt: skip


class Fold:
    def __init__(self, layer: LayerQuantities, linear: FoldedInto) -> None:
        self.layer = layer
        exact = layer.r.arithmetic.exact
        self.weights = [exact(float64(weight)) for weight in linear.weight]
        self.bias = exact(float64(linear.bias))

    def weight(self, k: int) -> Quantity:
        """w' in whatever order its factors meet, or divided by std: they round alike, and underflow otherwise."""
        w, g, r = self.weights[k], self.layer.gamma, self.layer.r
        return (w * divided(g, r)).or_worse(divided(w * g, r)).or_worse(divided(w, r) * g)

    @property
    def shift(self) -> Quantity:
        """b': (b - m) times gamma and over std in whatever order, or b scale - m scale; plus beta."""
        b, m, g, r, beta = self.bias, self.layer.m, self.layer.gamma, self.layer.r, self.layer.beta
        scale = divided(g, r)
        by_difference = (divided(b - m, r) * g).or_worse(divided((b - m) * g, r)).or_worse((b - m) * scale) + beta
        return by_difference.or_worse(added(b * scale, -(m * scale), beta))

    def lost(self, x: Array) -> Array:
        """To underflow, (n, C), in whatever order the terms x w gamma r, b gamma r and m gamma r are formed.

        x: (n, K, C) or (n, K, 1).
        """
        lost, weights = Lost(self.layer), np.stack([weight.value for weight in self.weights])
        terms = np.where((x != 0) & (weights != 0), at_least_one(x) * at_least_one(weights), 0.0).sum(axis=1)
        sums = at_least_one(self.bias.value) + lost.m + len(weights) + 3
        return np.where(self.layer.gamma.value != 0, lost.slack * lost.scale * (terms + sums), 0.0)

    def output(self, terms: list[Quantity]) -> Quantity:
        """The products x_k w'_k and the shift, added in any order."""
        return added(*terms, self.shift)
