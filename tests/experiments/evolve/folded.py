"""Populations of batch norms folded into a dense layer: error over bound of an output, and of what does nothing.

A channel is one output: x are its K inputs, dy its K weights. The same numbers serve as x and dy of a layer folded
into a weight of 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from reference.error_bounds import precision_of
from reference.fold_bounds import FoldedInto, FoldParameters, folded_bounds, folded_output_bound
from tests.experiments.bounds.exact import denominator
from tests.experiments.evolve import mutate
from tests.experiments.evolve.directed import as_16_bits
from tests.experiments.evolve.evaluate import Array, Named, Population, Setting, ratio
from tests.experiments.evolve.mutate import Rng, children
from tests.targets.honest.adding import WIDER
from tests.targets.honest.folds import Folded

__all__ = ["OBSERVABLES", "children", "drawn", "ratios"]
OBSERVABLES = ("output", "y", "dx")


@dataclass(frozen=True)
class Folding(Population):
    """And the bias (C,) of what is folded into."""

    bias: Array


def drawn(rng: Rng, n: int, dtype: str, channels: int) -> tuple[Folding, list[str]]:
    """A population of `mutate.drawn`; half of the moving means beside the output that they are subtracted from."""
    plain, names = mutate.drawn(rng, n, dtype, channels)
    with np.errstate(all="ignore"):
        bias = rng.normal(size=channels) * 10 ** rng.uniform(-3, 3, channels)
        bias = np.where(rng.random(channels) < 0.3, 0, bias).astype(dtype)
        z = (plain.x.astype(np.float64) * plain.dy).sum(axis=0) + bias
        beside = z * (1 + 10 ** rng.uniform(-8, 0, channels) * rng.normal(size=channels))
        mean = np.where(rng.random(channels) < 0.5, beside, plain.moving_mean).astype(dtype)
    return Folding(**plain.arrays() | {"moving_mean": mean}, bias=bias), names


def ratios(p: Folding, s: Setting, algorithms: tuple[Folded, ...], dtype: str) -> Iterator[tuple[Folded, Named]]:
    """Worst error/bound of each channel, (C,) by observable. Out of range: 0; NaN: infinite."""
    with np.errstate(all="ignore"):
        if dtype != p.dtype:
            p = type(p)(**p.arrays() | {name: as_16_bits(getattr(p, name), dtype) for name in ("x", "dy")})
        want, bound = exact(p, s, dtype)
        valid = in_range(p, s, want, bound, dtype)
        bn = p.gamma, p.beta, p.moving_mean, p.moving_var
        for algorithm in algorithms:
            y, dx = algorithm.identity(p.x, p.dy, bn, s.eps, s.eps_at)
            got = {"output": algorithm.output(p.x, p.dy, p.bias, bn, s.eps, s.eps_at), "y": y, "dx": dx}
            if dtype != p.dtype:
                got = {name: as_16_bits(value, dtype) for name, value in got.items()}
            yield algorithm, {name: ratio(got[name], want[name], bound[name], valid) for name in OBSERVABLES}


def exact(p: Folding, s: Setting, dtype: str) -> tuple[Named, Named]:
    E = WIDER[p.dtype]
    x, dy, gamma, beta, mean, var, bias = (a.astype(E) for a in p.arrays().values())
    r = 1 / denominator(var, E(s.eps), s.eps_at)
    of, precision = FoldParameters(gamma, beta, mean, var, s.eps, s.eps_at), precision_of(dtype)
    z = (x * dy).sum(axis=0) + bias
    want = {"output": (z - mean) * r * gamma + beta, "y": (x - mean) * r * gamma + beta, "dx": dy * gamma * r}
    output = folded_output_bound(x[None], FoldedInto(dy, bias), of, precision)[0]
    return want, {"output": output, **folded_bounds(x, dy, of, precision)}


def in_range(p: Folding, s: Setting, want: Named, bound: Named, dtype: str) -> Array:
    """Channels in which nothing overflows, whatever the grouping, (C,)."""
    limit = np.longdouble(np.finfo(p.dtype).max) ** np.longdouble(0.95)
    wide = {name: np.abs(a.astype(np.longdouble)) for name, a in p.arrays().items()}
    r = 1 + 1 / denominator(wide["moving_var"], s.eps, s.eps_at)
    x, dy = (1 + wide[name].max(axis=0) for name in ("x", "dy"))
    others = (1 + wide["moving_mean"] + wide["bias"]) * (1 + wide["gamma"])
    valid: Array = len(p.x) * x * dy * others * r + wide["moving_var"] + wide["beta"] < limit
    if dtype != p.dtype:
        largest = float(np.finfo(np.float16).max) if dtype == "float16" else limit
        for name in OBSERVABLES:
            fits = np.abs(want[name]) + bound[name] < largest
            valid &= fits if fits.ndim == 1 else fits.all(axis=0)
    return valid
