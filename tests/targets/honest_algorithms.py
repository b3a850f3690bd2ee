"""Batch norm as honest implementations compute it, each operation rounded to the dtype of the arrays.

The error bounds must hold for every algorithm here, and not for `FAST_VARIANCE`. Everything is (n, C): n
values of each of C independent channels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Sum = Callable[[Array], Array]


def sequential(t: Array) -> Array:
    total = np.zeros_like(t[0])
    for row in t:
        total += row
    return total


def backwards(t: Array) -> Array:
    return sequential(t[::-1])


def value_sorted(t: Array) -> Array:
    """Smallest value first: the order in which the partial sums' roundings resemble each other most."""
    return sequential(np.sort(t, axis=0))


def tree(t: Array) -> Array:
    """Pairwise: neighbours first."""
    while len(t) > 1:
        even = len(t) // 2 * 2
        t = np.concatenate([t[0:even:2] + t[1:even:2], t[even:]])
    return t[0]


def eight_lanes(t: Array) -> Array:
    """Eight running sums, as vector code keeps them."""
    lanes = [sequential(t[i::8]) for i in range(min(8, len(t)))]
    return tree(np.stack(lanes))


def in_double(t: Array) -> Array:
    return t.sum(axis=0, dtype=np.float64).astype(t.dtype)


def two_pass(x: Array, add: Sum) -> tuple[Array, Array]:
    n = x.dtype.type(len(x))
    mean = add(x) / n
    d = x - mean
    return mean, add(d * d) / n


def two_pass_double(x: Array, _add: Sum) -> tuple[Array, Array]:
    mean, var = two_pass(x.astype(np.float64), sequential)
    return mean.astype(x.dtype), var.astype(x.dtype)


def welford(x: Array, _add: Sum) -> tuple[Array, Array]:
    mean, m2 = np.zeros_like(x[0]), np.zeros_like(x[0])
    for k, row in enumerate(x, start=1):
        delta = row - mean
        mean = mean + delta / x.dtype.type(k)
        m2 = m2 + delta * (row - mean)
    return mean, m2 / x.dtype.type(len(x))


def chan(x: Array, _add: Sum) -> tuple[Array, Array]:
    """Neighbours merged level by level; an odd one out is carried on to the next level."""
    T = x.dtype.type
    parts = [(1, row, np.zeros_like(row)) for row in x]
    while len(parts) > 1:
        merged = []
        for (na, ma, sa), (nb, mb, sb) in zip(parts[0::2], parts[1::2], strict=False):
            delta = mb - ma
            mean = ma + delta * (T(nb) / T(na + nb))
            merged.append((na + nb, mean, sa + sb + delta * delta * (T(na) * T(nb) / T(na + nb))))
        parts = merged + parts[len(merged) * 2 :]
    n, mean, m2 = parts[0]
    return mean, m2 / T(n)


def mean_of_squares(x: Array, add: Sum) -> tuple[Array, Array]:
    """E[x^2] - E[x]^2, clamped at 0: not honest."""
    n = x.dtype.type(len(x))
    mean = add(x) / n
    return mean, np.maximum(add(x * x) / n - mean * mean, 0)


@dataclass(frozen=True)
class Algorithm:
    name: str
    statistics: Callable[[Array, Sum], tuple[Array, Array]]
    add: Sum
    forward: str  # "plain", "scale_shift", "xh_affine"
    backward: str  # "closed", "grouped", "autodiff", "regrouped"
    update: str  # "two_products", "increment", "from_new"

    def train(self, x: Array, dy: Array, gamma: Array, beta: Array, eps: float) -> dict[str, Array]:
        mean, var = self.statistics(x, self.add)
        r = reciprocal_root(var, eps)
        forward = {"mean": mean, "var": var, "y": self.scaled(x, mean, r, gamma, beta)}
        return forward | {"dbeta": self.add(dy)} | BACKWARD[self.backward](x, dy, gamma, mean, r, self.add)

    def eval(
        self, x: Array, dy: Array, gamma: Array, beta: Array, mean: Array, var: Array, eps: float
    ) -> dict[str, Array]:
        r = reciprocal_root(var, eps)
        if self.backward == "regrouped":
            dgamma = r * (self.add(dy * x) - mean * self.add(dy))
        else:
            dgamma = self.add(dy * ((x - mean) * r))
        return {"y": self.scaled(x, mean, r, gamma, beta), "dx": dy * (gamma * r), "dgamma": dgamma,
                "dbeta": self.add(dy)}  # fmt: skip

    def scaled(self, x: Array, mean: Array, r: Array, gamma: Array, beta: Array) -> Array:
        if self.forward == "plain":
            return gamma * ((x - mean) * r) + beta
        if self.forward == "scale_shift":
            scale = gamma * r
            return x * scale + (beta - mean * scale)
        return gamma * (x * r - mean * r) + beta

    def moved(self, moving: Array, statistic: Array, keep: float) -> Array:
        T = moving.dtype.type
        if self.update == "two_products":
            return T(keep) * moving + (T(1) - T(keep)) * statistic
        if self.update == "increment":
            return moving + (T(1) - T(keep)) * (statistic - moving)
        new = T(1 - keep)  # the new value's weight is what is given, the old one's follows from it
        return (T(1) - new) * moving + new * statistic


def reciprocal_root(var: Array, eps: float) -> Array:
    T = var.dtype.type
    return np.asarray(T(1) / np.sqrt(var + T(eps)))


def _closed(x: Array, dy: Array, gamma: Array, mean: Array, r: Array, add: Sum) -> dict[str, Array]:
    n = x.dtype.type(len(x))
    xh = (x - mean) * r
    dgamma = add(dy * xh)
    return {"dgamma": dgamma, "dx": gamma * r * (dy - add(dy) / n - xh * (dgamma / n))}


def _grouped(x: Array, dy: Array, gamma: Array, mean: Array, r: Array, add: Sum) -> dict[str, Array]:
    n = x.dtype.type(len(x))
    xh = (x - mean) * r
    dgamma = add(dy * xh)
    return {"dgamma": dgamma, "dx": gamma * r / n * (n * dy - add(dy) - xh * dgamma)}


def _autodiff(x: Array, dy: Array, gamma: Array, mean: Array, r: Array, add: Sum) -> dict[str, Array]:
    """Reverse mode through (x - mean) * (var + eps)^(-1/2), with the mean(x - mean) that is 0 on paper."""
    T = x.dtype.type
    n, d = T(len(x)), x - mean
    dxh = dy * gamma
    dvar = add(dxh * d) * T(-0.5) * (r * r * r)
    dmean = -add(dxh * r) + dvar * (add(T(-2) * d) / n)
    return {"dgamma": r * add(dy * d), "dx": dxh * r + dvar * (T(2) / n) * d + dmean / n}


def _regrouped(x: Array, dy: Array, gamma: Array, mean: Array, r: Array, add: Sum) -> dict[str, Array]:
    """dgamma = r (sum(dy x) - mean sum(dy)), and dx = a dy + b x + c with coefficients of the channel."""
    n, dy_sum = x.dtype.type(len(x)), add(dy)
    dgamma = r * (add(dy * x) - mean * dy_sum)
    a = gamma * r
    b = -a * r * dgamma / n
    return {"dgamma": dgamma, "dx": a * dy + b * x + (-b * mean - a * dy_sum / n)}


BACKWARD = {"closed": _closed, "grouped": _grouped, "autodiff": _autodiff, "regrouped": _regrouped}

# Two-pass where the name does not say otherwise.
HONEST = (
    Algorithm("sequential", two_pass, sequential, "plain", "closed", "two_products"),
    Algorithm("sequential, scale-shift", two_pass, sequential, "scale_shift", "regrouped", "increment"),
    Algorithm("backwards, autodiff", two_pass, backwards, "xh_affine", "autodiff", "from_new"),
    Algorithm("sorted", two_pass, value_sorted, "plain", "grouped", "two_products"),
    Algorithm("sorted, scale-shift", two_pass, value_sorted, "scale_shift", "regrouped", "increment"),
    Algorithm("tree, scale-shift", two_pass, tree, "scale_shift", "grouped", "from_new"),
    Algorithm("tree, regrouped", two_pass, tree, "plain", "regrouped", "two_products"),
    Algorithm("eight lanes", two_pass, eight_lanes, "xh_affine", "closed", "increment"),
    Algorithm("Welford", welford, sequential, "plain", "autodiff", "two_products"),
    Algorithm("Chan", chan, tree, "scale_shift", "autodiff", "increment"),
    Algorithm("double inside", two_pass_double, in_double, "plain", "closed", "two_products"),
)
FAST_VARIANCE = (
    Algorithm("fast variance sequential", mean_of_squares, sequential, "plain", "closed", "two_products"),
    Algorithm("fast variance tree", mean_of_squares, tree, "plain", "closed", "two_products"),
)
