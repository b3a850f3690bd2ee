"""Forms of y and of the gradients: what is zero or equal on paper is not so once it is rounded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.targets.honest.adding import Array, Sum, fused, fused_dot
from tests.targets.honest.roots import Roots


@dataclass(frozen=True)
class Saved:
    """What the forward pass leaves behind: x (n, C), the rest (C,). `std` is sqrt(var + eps) or sqrt(var) + eps."""

    x: Array
    gamma: Array
    beta: Array
    mean: Array
    var: Array
    std: Array
    r: Array
    under_root: Array
    """var + eps, or var where `outside`."""
    outside: bool
    """eps is added outside the root."""
    add: Sum
    roots: Roots

    @property
    def n(self) -> Any:
        return self.x.dtype.type(len(self.x))

    @property
    def d(self) -> Array:
        return self.x - self.mean

    @property
    def xh(self) -> Array:
        return self.d * self.r

    @property
    def square(self) -> Array:
        """1/r^2, before a root is taken where eps is inside it."""
        return self.std * self.std if self.outside else self.under_root

    @property
    def root_of_var(self) -> Array:
        return self.roots.root(self.var)

    @property
    def slope(self) -> Array:
        """dr/dvar relative to -r^3/2: 1, or 1/(r sqrt(var)) with eps outside the root; 0 for constant channels."""
        if not self.outside:
            return self.r.dtype.type(1)
        product = self.r * self.root_of_var
        safe = np.where(product > 0, product, 1).astype(self.r.dtype)
        return np.where(product > 0, 1 / safe, 0).astype(self.r.dtype)


Output = Callable[[Saved], Array]
Dgamma = Callable[[Saved, Array], Array]
Dx = Callable[[Saved, Array, Array], Array]  # saved, dy, dgamma
EvalDx = Callable[[Saved, Array], Array]


# --- y ---


def normalized_first(s: Saved) -> Array:
    return s.gamma * s.xh + s.beta


def divided_by_std(s: Saved) -> Array:
    return s.gamma * s.roots.divide(s.d, s.std) + s.beta


def scaled_deviation(s: Saved) -> Array:
    """Flax: (x - mean) (r gamma) + beta."""
    return s.d * (s.r * s.gamma) + s.beta


def scale_and_shift(s: Saved) -> Array:
    scale = s.gamma * s.r
    return s.x * scale + (s.beta - s.mean * scale)


def scale_and_shift_fused(s: Saved) -> Array:
    scale = s.gamma * s.r
    return fused(s.x, scale, fused(-s.mean, scale, s.beta))


def algorithm_2(s: Saved) -> Array:
    """Ioffe and Szegedy 2015, algorithm 2, line 11, read literally: two quotients, whose roundings do not cancel."""
    return s.roots.divide(s.gamma, s.std) * s.x + (s.beta - s.roots.divide(s.gamma * s.mean, s.std))


def products_apart(s: Saved) -> Array:
    return (s.x * s.r * s.gamma + s.beta) - s.gamma * s.r * s.mean


def difference_of_products(s: Saved) -> Array:
    return s.gamma * (s.x * s.r - s.mean * s.r) + s.beta


# --- dgamma ---


def of_normalized(s: Saved, dy: Array) -> Array:
    return s.add(dy * s.xh)


def of_quotient(s: Saved, dy: Array) -> Array:
    return s.add(dy * s.roots.divide(s.d, s.std))


def of_deviation(s: Saved, dy: Array) -> Array:
    """PyTorch: r sum(dy (x - mean))."""
    return s.r * s.add(dy * s.d)


def of_deviation_fused(s: Saved, dy: Array) -> Array:
    return s.r * fused_dot(dy, s.d)


def regrouped(s: Saved, dy: Array) -> Array:
    """r (sum(dy x) - mean sum(dy))."""
    return s.r * (s.add(dy * s.x) - s.mean * s.add(dy))


# --- dx in prediction ---


def by_scale(s: Saved, dy: Array) -> Array:
    return dy * (s.gamma * s.r)


# --- dx, closed forms ---


def closed(s: Saved, dy: Array, dgamma: Array) -> Array:
    return s.gamma * s.r * (dy - s.add(dy) / s.n - s.xh * (s.slope * dgamma / s.n))


def closed_fused(s: Saved, dy: Array, dgamma: Array) -> Array:
    c = s.slope * dgamma / s.n
    return s.gamma * s.r * fused(-s.xh, c, dy - s.add(dy) / s.n)


def over_n(s: Saved, dy: Array, dgamma: Array) -> Array:
    """gamma r / n (n dy - sum(dy) - xh dgamma), as many write it."""
    return s.gamma * s.r / s.n * (s.n * dy - s.add(dy) - s.xh * (s.slope * dgamma))


def terms_apart(s: Saved, dy: Array, dgamma: Array) -> Array:
    """Each term times gamma r before they are subtracted, smallest first."""
    a = s.gamma * s.r
    per_value = s.roots.divide(s.x.dtype.type(1), s.n)
    return a * dy - (a * (s.add(dy) * per_value) + (a * (s.slope * dgamma * per_value)) * s.xh)


def as_torch(s: Saved, dy: Array, dgamma: Array) -> Array:  # noqa: ARG001
    """PyTorch's kernels: ((dy - mean(dy)) - (x - mean) k) r gamma, k = sum(dy (x - mean)) r r / n."""
    k = s.add(dy * s.d) * s.r * s.r * s.slope / s.n
    return (dy - s.add(dy) / s.n - s.d * k) * s.r * s.gamma


def three_coefficients(s: Saved, dy: Array, dgamma: Array) -> Array:
    """dx = a dy + b x + c, with three numbers a channel."""
    a = s.gamma * s.r
    b = -a * s.r * (s.slope * dgamma) / s.n
    return a * dy + b * s.x + (-b * s.mean - a * s.add(dy) / s.n)


# --- dx, reverse mode ---


def reverse_mode(s: Saved, dy: Array, dgamma: Array) -> Array:  # noqa: ARG001
    """d (var + eps)^(-1/2), as the paper's section 3 has it: r^3, and the mean of x - mean that is 0 on paper."""
    T = s.x.dtype.type
    d, dxh = s.d, dy * s.gamma
    dvar = s.add(dxh * d) * T(-0.5) * (s.r * s.r * s.r) * s.slope
    dmean = -s.add(dxh * s.r) + dvar * (s.add(T(-2) * d) / s.n)
    return dxh * s.r + dvar * (T(2) / s.n) * d + dmean / s.n


def by_variance(s: Saved, d_std: Array) -> Array:
    """d var, for the gradient of the denominator: through sqrt(var + eps), or sqrt(var)."""
    root = s.root_of_var if s.outside else s.std
    safe = np.where(root > 0, root, 1).astype(root.dtype)
    return np.where(root > 0, s.roots.divide(d_std, 2 * safe), 0).astype(root.dtype)


def autodiff_torch(s: Saved, dy: Array, dgamma: Array) -> Array:  # noqa: ARG001
    """PyTorch through ((x - mean)/std) gamma + beta where x - mean is one node: its gradients add up before the sum."""
    d, dxh = s.d, dy * s.gamma
    quotient = s.roots.divide(s.roots.divide(d, s.std), s.std)
    dvar = by_variance(s, s.add(-dxh * quotient))
    centred = s.roots.divide(dxh, s.std) + (dvar / s.n) * (2 * d)
    return centred - s.add(centred) / s.n


def autodiff_torch_two_nodes(s: Saved, dy: Array, dgamma: Array) -> Array:  # noqa: ARG001
    """The same where x - mean is written twice, as in a textbook: the gradients of the mean are summed apart."""
    d, dxh = s.d, dy * s.gamma
    quotient = s.roots.divide(s.roots.divide(d, s.std), s.std)
    dvar = by_variance(s, s.add(-dxh * quotient))
    through_output, through_var = s.roots.divide(dxh, s.std), (dvar / s.n) * (2 * d)
    dmean = -s.add(through_var) - s.add(through_output)
    return through_var + through_output + dmean / s.n


def autodiff_jax(s: Saved, dy: Array, dgamma: Array) -> Array:  # noqa: ARG001
    """JAX through (x - mean) (rsqrt(var + eps) gamma) + beta: rsqrt's derivative is -r / (2 (var + eps))."""
    T = s.x.dtype.type
    d = s.d
    dr = s.add(dy * d) * s.gamma
    dvar = by_variance(s, -dr * (s.r * s.r)) if s.outside else dr * (T(-0.5) * s.roots.divide(s.r, s.std * s.std))
    through_output, through_var = dy * (s.r * s.gamma), (dvar / s.n) * (T(2) * d)
    return through_output + through_var - (s.add(through_output) + s.add(through_var)) / s.n


def autodiff_folded(s: Saved, dy: Array, dgamma: Array) -> Array:  # noqa: ARG001
    """Through x scale + (beta - mean scale), scale = gamma r, and a variance of deviations."""
    T = s.x.dtype.type
    scale, dy_sum = s.gamma * s.r, s.add(dy)
    dscale = s.add(dy * s.x) - s.mean * dy_sum
    dvar = dscale * s.gamma * T(-0.5) * (s.r * s.r * s.r) * s.slope
    through_var = dvar * (T(2) / s.n) * s.d
    return dy * scale + through_var - (scale * dy_sum + s.add(through_var)) / s.n
