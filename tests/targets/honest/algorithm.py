"""An honest algorithm: a choice for each step of a batch norm, each operation rounded to the dtype of the arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.targets.honest import averages, gradients
from tests.targets.honest.adding import Array, Sum, forward
from tests.targets.honest.gradients import Dgamma, Dx, EvalDx, Output, Saved
from tests.targets.honest.roots import EXACT, Roots
from tests.targets.honest.statistics import Statistics, two_pass


class Flushing(np.ndarray):
    """Arrays whose operations take subnormal numbers for zero and give zero for them: FTZ and DAZ, as GPUs may."""

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        plain = [flushed(np.asarray(a)) if isinstance(a, np.ndarray | np.floating) else a for a in inputs]
        options.pop("out", None)
        result = getattr(ufunc, method)(*plain, **options)
        return flushed(result).view(Flushing) if isinstance(result, np.ndarray) else flushed(np.asarray(result))[()]


def flushed(a: Array) -> Array:
    if not np.issubdtype(a.dtype, np.floating):
        return a
    return np.where(np.abs(a) < np.finfo(a.dtype).smallest_normal, a.dtype.type(0), a)


def flushing(a: Array) -> Array:
    return flushed(a).view(Flushing)


def as_is(a: Array) -> Array:
    return a


@dataclass(frozen=True)
class Algorithm:
    """`train` and `eval` take x, dy (n, C) and gamma, beta, mean, var (C,), all of one dtype, and return that dtype."""

    name: str
    statistics: Statistics = two_pass
    add: Sum = forward
    roots: Roots = EXACT
    output: Output = gradients.normalized_first
    dgamma: Dgamma = gradients.of_normalized
    dx: Dx = gradients.closed
    eval_dx: EvalDx = gradients.by_scale
    average: averages.Average = averages.two_products
    bessel: averages.Bessel = averages.factor
    debias: averages.Debias = averages.debiased_by_power
    arithmetic: Callable[[Array], Array] = as_is
    """Applied to every input: `wide` and `flushing` change what all operations do."""

    def train(
        self, x: Array, dy: Array, gamma: Array, beta: Array, eps: float, eps_at: str = "inside_sqrt"
    ) -> dict[str, Array]:
        """mean, var (C,) of the batch, biased; y, dx (n, C); dgamma, dbeta (C,)."""
        dtype = x.dtype
        x, dy, gamma, beta = (self.arithmetic(a) for a in (x, dy, gamma, beta))
        mean, var = self.statistics(x, self.add, self.roots.divide)
        saved = self.saved(x, gamma, beta, mean, var, eps, eps_at)
        dgamma = self.dgamma(saved, dy)
        values = {"mean": mean, "var": var, "y": self.output(saved), "dx": self.dx(saved, dy, dgamma),
                  "dgamma": dgamma, "dbeta": self.add(dy)}  # fmt: skip
        return {name: stored(value, dtype) for name, value in values.items()}

    def eval(
        self, x: Array, dy: Array, gamma: Array, beta: Array, mean: Array, var: Array, eps: float,
        eps_at: str = "inside_sqrt",
    ) -> dict[str, Array]:  # fmt: skip
        dtype = x.dtype
        x, dy, gamma, beta, mean, var = (self.arithmetic(a) for a in (x, dy, gamma, beta, mean, var))
        saved = self.saved(x, gamma, beta, mean, var, eps, eps_at)
        values = {"y": self.output(saved), "dx": self.eval_dx(saved, dy), "dgamma": self.dgamma(saved, dy),
                  "dbeta": self.add(dy)}  # fmt: skip
        return {name: stored(value, dtype) for name, value in values.items()}

    def moved(self, moving: Array, statistic: Array, keep: float) -> Array:
        """A moving statistic after an update, keep * moving + (1 - keep) * statistic."""
        return stored(self.average(self.arithmetic(moving), self.arithmetic(statistic), keep), moving.dtype)

    def unbiased(self, var: Array, n: int) -> Array:
        """`var` of n values with Bessel's factor."""
        return stored(self.bessel(self.arithmetic(var), n), var.dtype)

    def debiased(self, average: Array, keep: float, updates: int) -> Array:
        """`average` over 1 - keep^updates."""
        return stored(self.debias(self.arithmetic(average), keep, updates), average.dtype)

    def saved(
        self, x: Array, gamma: Array, beta: Array, mean: Array, var: Array, eps: float, eps_at: str
    ) -> Saved:  # fmt: skip
        T, outside = x.dtype.type, eps_at == "outside_sqrt"
        under_root = var if outside else var + T(eps)
        if outside:
            std = self.roots.root(var) + T(eps)
            r = self.roots.divide(T(1), std)
        else:
            std, r = self.roots.root(under_root), self.roots.reciprocal_root(under_root)
        return Saved(x, gamma, beta, mean, var, std, r, under_root, outside, self.add, self.roots)


def stored(value: Array, dtype: np.dtype) -> Array:
    return np.asarray(value).astype(dtype, copy=False)
