"""Batch norms folded into a dense layer, as libraries fold them: every operation rounded to the dtype of the arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np

from tests.targets.honest import roots
from tests.targets.honest.adding import (
    Array,
    Sum,
    backward,
    forward,
    in_wider_type,
    interleaved,
    kahan,
    pairwise,
    value_sorted,
)
from tests.targets.honest.algorithm import as_is, flushing, stored
from tests.targets.honest.roots import Roots


@dataclass(frozen=True)
class Given:
    """weight (K, C); the rest (C,). r and std: of the moving variance."""

    weight: Array
    bias: Array
    gamma: Array
    beta: Array
    mean: Array
    r: Array
    std: Array
    roots: Roots


Made = tuple[Array, Array]
"""w' (K, C) and b' (C,)"""


def as_torch(of: Given) -> Made:
    """torch.nn.utils.fusion.fuse_conv_bn_weights: two scales, each of its own roundings."""
    return of.weight * (of.gamma * of.r), (of.bias - of.mean) * of.r * of.gamma + of.beta


def one_scale(of: Given) -> Made:
    """TensorFlow's and ONNX Runtime's folding: gamma/std, once."""
    scale = of.roots.divide(of.gamma, of.std)
    return of.weight * scale, (of.bias - of.mean) * scale + of.beta


def products_apart(of: Given) -> Made:
    """b scale + (beta - m scale), as where a bias is scaled by code that knows no mean."""
    scale = of.gamma * of.r
    return of.weight * scale, of.bias * scale + (of.beta - of.mean * scale)


def gamma_first(of: Given) -> Made:
    return of.weight * of.gamma * of.r, of.beta + (of.bias - of.mean) * of.gamma * of.r


def r_first(of: Given) -> Made:
    return of.weight * of.r * of.gamma, of.beta - (of.mean - of.bias) * of.r * of.gamma


def quotients(of: Given) -> Made:
    """w (gamma/std) and (b - m) gamma/std + beta, read from left to right: quotients of different numbers."""
    divide = of.roots.divide
    return of.weight * divide(of.gamma, of.std), divide((of.bias - of.mean) * of.gamma, of.std) + of.beta


def quotients_of_weights(of: Given) -> Made:
    divide = of.roots.divide
    return divide(of.weight * of.gamma, of.std), divide(of.bias - of.mean, of.std) * of.gamma + of.beta


MAKES: tuple[Callable[[Given], Made], ...] = (as_torch, one_scale, products_apart, gamma_first, r_first)
BY_QUOTIENTS: tuple[Callable[[Given], Made], ...] = (one_scale, quotients, quotients_of_weights)


@dataclass(frozen=True)
class Folded:
    name: str
    make: Callable[[Given], Made]
    add: Sum
    roots: Roots = roots.EXACT
    arithmetic: Callable[[Array], Array] = as_is
    bias_first: bool = True

    def output(self, x: Array, weight: Array, bias: Array, bn: tuple[Array, ...], eps: float, eps_at: str) -> Array:
        """Inputs and weights (K, C) of one output of each channel; bn: gamma, beta, mean, var; bias: (C,) -> y (C,)"""
        dtype = x.dtype
        x, weight, bias, *bn_here = (self.arithmetic(a) for a in (x, weight, bias, *bn))
        weight, shift = self._made(weight, bias, bn_here, eps, eps_at)
        parts = [shift[None], x * weight] if self.bias_first else [x * weight, shift[None]]
        terms = np.concatenate(parts)
        return stored(self.add(flushing(np.asarray(terms)) if self.arithmetic is flushing else terms), dtype)

    def identity(self, x: Array, dy: Array, bn: tuple[Array, ...], eps: float, eps_at: str) -> tuple[Array, Array]:
        """Folded into what does nothing, x and dy (n, C) -> y, dx (n, C)."""
        dtype = x.dtype
        x, dy, *bn_here = (self.arithmetic(a) for a in (x, dy, *bn))
        ones, zeros = np.ones_like(x[:1]), np.zeros_like(x[0])
        weight, shift = self._made(ones, zeros, bn_here, eps, eps_at)
        return stored(x * weight + shift, dtype), stored(dy * weight, dtype)

    def _made(self, weight: Array, bias: Array, bn: list[Array], eps: float, eps_at: str) -> Made:
        gamma, beta, mean, var = bn
        T = var.dtype.type
        if eps_at == "inside_sqrt":
            std, r = self.roots.root(var + T(eps)), self.roots.reciprocal_root(var + T(eps))
        else:
            std = self.roots.root(var) + T(eps)
            r = self.roots.divide(np.ones_like(std), std)
        return self.make(Given(weight, bias, gamma, beta, mean, r, std, self.roots))


_SUMS = (forward, backward, pairwise, kahan, value_sorted, interleaved, in_wider_type)
_ROOTS = (
    roots.EXACT,
    roots.ROOT_UP_DIVISION_DOWN,
    roots.rounded_up(2),
    roots.ROOT_DOWN_DIVISION_UP,
    roots.rounded_up(-2),
)

FOLDS = tuple(
    Folded(f"{make.__name__}, {add.__name__}, {place}", make, add, _ROOTS[(i + j) % 5], bias_first=bool(i + j) % 2 == 0)
    for place, ((i, make), (j, add)) in enumerate(product(enumerate(MAKES), enumerate(_SUMS)))
)
FOLDS += tuple(Folded(f"{make.__name__}, flushing", make, pairwise, arithmetic=flushing) for make in MAKES)
FOLDS += tuple(
    Folded(f"{make.__name__}, {add.__name__}, either way", make, add, roots.SCATTERED)
    for make, add in product(BY_QUOTIENTS, (forward, pairwise, value_sorted))
)
