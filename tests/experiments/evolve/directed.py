"""Populations with directions: error over bound of forward mode and second derivatives in each of their channels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from harness.cases.case import numpy_dtype
from harness.judge.oracle import OracleLayer
from reference.conventions import PRESETS
from reference.error_bounds import precision_of
from reference.second_derivative_bounds import DirectionRows, Point, eval_derivative_bounds, train_derivative_bounds
from tests.experiments.bounds.exact import denominator
from tests.experiments.evolve import mutate, recipes
from tests.experiments.evolve.evaluate import Array, Named, Population, Setting, ratio
from tests.experiments.evolve.mutate import Rng, parameters_for
from tests.targets.honest.adding import WIDER
from tests.targets.honest.second import SecondOrder

IN_TRAINING = ("ty", "ddy", "dx2", "dgamma2")
OBSERVABLES = (*IN_TRAINING, *(f"eval_{name}" for name in IN_TRAINING))
LIKE_X = ("ty", "ddy", "dx2")
GIVEN = ("x", "dy", "gamma", "beta", "ddx", "ddgamma", "ddbeta")


@dataclass(frozen=True)
class Directed(Population):
    """And along what is differentiated: ddx (n, C), ddgamma, ddbeta (C,)."""

    ddx: Array
    ddgamma: Array
    ddbeta: Array


# --- data ---


def drawn(rng: Rng, n: int, dtype: str, channels: int) -> tuple[Directed, list[str]]:
    """A population of `mutate.drawn`, with a direction by a recipe for each of its groups of channels."""
    plain, names = mutate.drawn(rng, n, dtype, channels)
    ddx = np.empty_like(plain.x)
    for start in range(0, channels, 8):
        name, x = str(rng.choice(recipes.FOR_DY)), plain.x[:, start : start + 8].astype(np.float64)
        ddx[:, start : start + 8] = _direction(rng, name, x, plain.dy[:, start : start + 8])
        names[start : start + 8] = [f"{both}, {name}" for both in names[start : start + 8]]
    with np.errstate(over="ignore"):
        ddgamma, ddbeta = (a.astype(dtype) for a in parameters_for(rng, plain.x.astype(np.float64))[:2])
    ddgamma[rng.random(channels) < 0.4] = 0  # so that its term does not hide the others
    ddbeta[rng.random(channels) < 0.4] = 0
    return Directed(**plain.arrays(), ddx=ddx, ddgamma=ddgamma, ddbeta=ddbeta), names


def _direction(rng: Rng, name: str, x: Array, dy: Array) -> Array:
    """Now and then nearly that of dy: T is then as great as it can be."""
    if rng.random() < 0.2:
        return dy * (1 + 2.0 ** -rng.integers(1, 24) * rng.normal(size=dy.shape))
    return recipes.cotangent(rng, name, x)


def children(rng: Rng, parents: Directed, names: list[str], count: int) -> tuple[Directed, list[str]]:
    """Those of `mutate.children`; half the time the directions change as dy, gamma and beta do there."""
    if rng.random() < 0.5:
        return mutate.children(rng, parents, names, count)
    young, young_names = mutate.children(rng, exchanged(parents), names, count)
    return exchanged(young), young_names


def exchanged(p: Directed) -> Directed:
    """dy and ddx, gamma and ddgamma, beta and ddbeta in each other's place."""
    return replace(p, dy=p.ddx, ddx=p.dy, gamma=p.ddgamma, ddgamma=p.gamma, beta=p.ddbeta, ddbeta=p.beta)


# --- what is expected, and the bounds ---


def exact_derivatives(p: Directed, s: Setting, dtype: str, summation: str = "any") -> tuple[Named, Named]:
    """Expected values and bounds of a training step and of a prediction with statistics that are given."""
    E = WIDER[p.dtype]
    x, dy, gamma, beta, mm, mv, ddx, ddgamma, ddbeta = (a.astype(E) for a in p.arrays().values())
    layer = OracleLayer(p.channels(), s.eps, s.keep, replace(PRESETS["d2l"], eps_at=s.eps_at), np.dtype(E))
    layer.gamma, layer.beta, layer.average_mean, layer.average_var = gamma, beta, mm, mv
    point, directions = Point(x, dy, gamma, beta, s.eps, s.eps_at), DirectionRows(ddx, ddgamma, ddbeta)
    want, precision = {}, precision_of(dtype)
    bound = dict(train_derivative_bounds(point, directions, precision, summation=summation))
    given = eval_derivative_bounds(point, directions, (mm, mv), (0.0, 0.0), precision, summation)
    bound |= {f"eval_{name}": value for name, value in given.items()}
    for prefix, derive in (("", layer.train_double), ("eval_", layer.eval_double)):
        dx2, ddy, dgamma2 = derive(x, dy, ddx, ddgamma, ddbeta)
        want |= {f"{prefix}{name}": value for name, value in zip(IN_TRAINING, (ddy, ddy, dx2, dgamma2), strict=True)}
    return want, bound


def computed(p: Directed, s: Setting, algorithm: SecondOrder, dtype: str) -> Named:
    arrays = p.arrays()
    given = {name: arrays[name] for name in GIVEN}
    got = algorithm.train(given, s.eps, s.eps_at)
    predicted = algorithm.eval(given, p.moving_mean, p.moving_var, s.eps, s.eps_at)
    got |= {f"eval_{name}": value for name, value in predicted.items()}
    if dtype == p.dtype:
        return got
    return {name: as_16_bits(value, dtype) if name.endswith(LIKE_X) else value for name, value in got.items()}


def as_16_bits(a: Array, dtype: str) -> Array:
    return a.astype(numpy_dtype(dtype)).astype(a.dtype)


def of_16_bits(p: Directed, dtype: str) -> Directed:
    """What has x's dtype, rounded to it. All else is float32, and is computed with."""
    if dtype == p.dtype:
        return p
    return replace(p, **{name: as_16_bits(getattr(p, name), dtype) for name in ("x", "dy", "ddx")})


def ratios(
    p: Directed, s: Setting, algorithms: tuple[SecondOrder, ...], dtype: str
) -> Iterator[tuple[SecondOrder, Named]]:
    """Worst error/bound of each channel, (C,) by observable, for each algorithm. Out of range: 0; NaN: infinite."""
    with np.errstate(all="ignore"):
        p = of_16_bits(p, dtype)
        want, bound = exact_derivatives(p, s, dtype)
        valid = in_range(p, s, want, bound, dtype)
        for algorithm in algorithms:
            got = computed(p, s, algorithm, dtype)
            yield (
                algorithm,
                {
                    name: ratio(got[name], want[name], bound[name], valid) if name in got else np.zeros(p.channels())
                    for name in OBSERVABLES
                },
            )


def in_range(p: Directed, s: Setting, want: Named, bound: Named, dtype: str) -> Array:
    """Channels in which nothing overflows, whatever the grouping, and nothing that is stored in 16 bits does, (C,)."""
    n = len(p.x)
    limit = np.longdouble(np.finfo(p.dtype).max) ** np.longdouble(0.95)
    wide = {name: np.abs(a.astype(np.longdouble)) for name, a in p.arrays().items()}
    rows = {name: 1 + wide[name].max(axis=0) for name in ("x", "dy", "ddx")}
    size = 2 * np.maximum(rows["x"], wide["moving_mean"])
    of_parameters = (1 + wide["gamma"]) * (1 + wide["ddgamma"]) * (1 + wide["ddbeta"])
    valid: Array = np.isfinite(p.x.sum(axis=0) + p.dy.sum(axis=0) + p.ddx.sum(axis=0) + of_parameters)
    mean = p.x.astype(np.longdouble).mean(axis=0)
    var = np.square(p.x.astype(np.longdouble) - mean).mean(axis=0)
    for of_var, error in ((var, bound["var"]), (p.moving_var.astype(np.longdouble), 0.0)):
        r = 1 + 1 / denominator(np.maximum(of_var - error, 0), s.eps, s.eps_at)
        if s.eps_at == "outside_sqrt":
            r = r + 1 / np.sqrt(np.maximum(of_var - error, 0))
            r = np.where(np.isfinite(r), r, 1)  # where there is no bound
        std = 1 + np.sqrt(of_var)
        valid &= (std**4 < limit) & (n * size**2 < limit)
        valid &= n * size**2 * rows["dy"] * rows["ddx"] * of_parameters * r**5 < limit
    if dtype != p.dtype:
        largest = float(np.finfo(np.float16).max) if dtype == "float16" else limit
        for name in OBSERVABLES:
            if name.endswith(LIKE_X):
                valid &= (np.abs(want[name]) + bound[name] < largest).all(axis=0)
    return valid
