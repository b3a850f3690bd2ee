"""Populations for layers whose x is multiplied by gamma/sqrt(moving_var + eps) and divided by it first, as in `qat`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from reference.error_bounds import precision_of
from reference.fold_bounds import FoldParameters
from reference.rescaled_bounds import rescaled_eval_bounds, rescaled_train_bounds
from tests.experiments.bounds.exact import denominator, exact_eval, exact_train
from tests.experiments.evolve import evaluate, mutate
from tests.experiments.evolve.directed import as_16_bits
from tests.experiments.evolve.evaluate import Array, Named, Population, Setting, ratio
from tests.experiments.evolve.mutate import Rng, children
from tests.targets.honest.adding import WIDER
from tests.targets.honest.algorithm import Algorithm, as_is, flushing

__all__ = ["OBSERVABLES", "children", "drawn", "ratios"]
STEP = ("y", "dx", "dgamma", "dbeta", "mean", "var")
OBSERVABLES = (*STEP, "eval_y", "eval_dx", "eval_dgamma")


def drawn(rng: Rng, n: int, dtype: str, channels: int) -> tuple[Population, list[str]]:
    """A population of `mutate.drawn`; of half, the moving statistics are the batch's own but for a little."""
    plain, names = mutate.drawn(rng, n, dtype, channels)
    with np.errstate(all="ignore"):
        var = plain.x.astype(np.float64).var(axis=0) * np.exp(0.1 * rng.normal(size=channels))
        own = rng.random(channels) < 0.5
        moving_var = np.where(own, var, plain.moving_var).astype(dtype)
    return replace(plain, moving_var=moving_var), names


def ratios(
    p: Population, s: Setting, algorithms: tuple[Algorithm, ...], dtype: str
) -> Iterator[tuple[Algorithm, Named]]:
    """Worst error/bound of each channel, (C,) by observable. Out of range: 0; NaN: infinite."""
    with np.errstate(all="ignore"):
        if dtype != p.dtype:
            p = replace(p, **{name: as_16_bits(getattr(p, name), dtype) for name in ("x", "dy")})
        want, bound = exact(p, s, dtype)
        valid = in_range(p, s, want, bound, dtype)
        for algorithm in algorithms:
            got = computed(p, s, algorithm)
            got |= {
                name: as_16_bits(got[name], dtype) for name in got if dtype != p.dtype and name.endswith(("y", "dx"))
            }
            yield algorithm, {name: ratio(got[name], want[name], bound[name], valid) for name in OBSERVABLES}


def exact(p: Population, s: Setting, dtype: str) -> tuple[Named, Named]:
    E = WIDER[p.dtype]
    x, dy, gamma, beta, mean, var = (a.astype(E) for a in p.arrays().values())
    of, precision = FoldParameters(gamma, beta, mean, var, s.eps, s.eps_at), precision_of(dtype)
    in_prediction = exact_eval(x, dy, gamma, beta, mean, var, E(s.eps), s.eps_at)
    of_prediction = rescaled_eval_bounds(x, dy, of, precision)
    want = exact_train(x, dy, gamma, beta, E(s.eps), s.eps_at)
    bound = rescaled_train_bounds(x, dy, of, precision)
    want |= {f"eval_{name}": value for name, value in in_prediction.items()}
    return want, bound | {f"eval_{name}": value for name, value in of_prediction.items()}


def in_range(p: Population, s: Setting, want: Named, bound: Named, dtype: str) -> Array:
    """Channels in which nothing overflows on the way, and the factor does not underflow, (C,)."""
    limit = np.longdouble(np.finfo(p.dtype).max) ** np.longdouble(0.9)
    factor = np.abs(p.gamma) / denominator(p.moving_var.astype(np.longdouble), s.eps, s.eps_at)
    gradients = [np.abs(want[name]) + bound[name] for name in ("dx", "eval_dx")]
    sizes = [np.abs(a).astype(np.longdouble).max(axis=0) for a in (p.x, p.dy, *gradients)]
    greatest = len(p.x) * np.prod([1 + a for a in sizes], axis=0) * (factor + 1 / factor)
    valid = evaluate.in_range(p, s, want, bound) & (greatest < limit) & (factor > np.finfo(p.dtype).smallest_normal)
    if dtype == "float16":
        fits = [
            np.abs(want[name]) + bound[name] < np.finfo(np.float16).max for name in ("y", "dx", "eval_y", "eval_dx")
        ]
        valid &= np.all(fits, axis=(0, 1))
    return np.asarray(valid)


def computed(p: Population, s: Setting, algorithm: Algorithm) -> Named:
    """In each mode, and with what the gradients of the factor, in both its places, add to dgamma."""
    given = flushing if algorithm.arithmetic is flushing else as_is
    x, gamma, var = (given(a) for a in (p.x, p.gamma, p.moving_var))
    divide, T = algorithm.roots.divide, p.dtype.type
    std = algorithm.roots.root(var + T(s.eps)) if s.eps_at == "inside_sqrt" else algorithm.roots.root(var) + T(s.eps)
    factor = divide(gamma, std)
    rescaled = divide(x * factor, factor)
    of = np.asarray(rescaled), p.dy, p.gamma, p.beta
    got = {}
    steps = (
        ("", algorithm.train(*of, s.eps, s.eps_at)),
        (
            "eval_",
            algorithm.eval(*of, p.moving_mean, p.moving_var, s.eps, s.eps_at),
        ),
    )
    for prefix, values in steps:
        own = given(values["dx"])
        back = divide(own, factor)
        of_factor = algorithm.add(back * x) + algorithm.add(-own * divide(rescaled, factor))
        values["dx"] = np.asarray(back * factor)
        values["dgamma"] = np.asarray(given(values["dgamma"]) + divide(of_factor, std))
        got |= {f"{prefix}{name}": value for name, value in values.items()}
    return got
