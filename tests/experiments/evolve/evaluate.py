"""Error over bound of each honest algorithm in each channel of a population."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from reference.error_bounds import eval_bounds, moving_bound, precision_of, train_bounds
from reference.oracle_error import OracleError, unit_of
from tests.experiments.bounds.exact import denominator, exact_eval, exact_train
from tests.targets.honest.adding import WIDER
from tests.targets.honest.algorithm import Algorithm

Array = NDArray[Any]
Named = dict[str, Array]

TRAINING = ("y", "dx", "dgamma", "dbeta", "mean", "var", "moving_mean", "moving_var")
PREDICTION = ("y", "dx", "dgamma", "dbeta")
OBSERVABLES = (
    *TRAINING,
    *(f"eval_{name}" for name in PREDICTION),  # with statistics that were given
    *(f"after_{name}" for name in PREDICTION),  # with those that the training step has moved
)


@dataclass(frozen=True)
class Setting:
    """What all channels of a population share."""

    eps: float
    eps_at: str
    keep: float
    unbiased: bool


@dataclass(frozen=True)
class Population:
    """Channels of one n and dtype: x, dy (n, C), the rest (C,)."""

    x: Array
    dy: Array
    gamma: Array
    beta: Array
    moving_mean: Array
    moving_var: Array

    @property
    def dtype(self) -> np.dtype:
        return self.x.dtype

    def channels(self) -> int:
        return int(self.x.shape[1])

    def arrays(self) -> Named:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def take(self, index: Array) -> Self:
        return type(self)(**{name: np.ascontiguousarray(a[..., index]) for name, a in self.arrays().items()})

    def joined(self, other: Self) -> Self:
        theirs = other.arrays()
        return type(self)(**{name: np.concatenate([a, theirs[name]], axis=-1) for name, a in self.arrays().items()})


def in_range(p: Population, s: Setting, want: Named, bound: Named) -> Array:
    """Channels in which nothing overflows, whatever the grouping: overflow is not a matter of rounding, (C,)."""
    n = len(p.x)
    limit = float(np.finfo(p.dtype).max) ** 0.95 / n
    x, dy = (1 + np.abs(a.astype(np.longdouble)).max(axis=0) for a in (p.x, p.dy))
    x = np.maximum(x, np.abs(p.moving_mean)) * 2
    gamma = 1 + np.abs(p.gamma.astype(np.longdouble))
    r = 1 + 1 / denominator(np.maximum(want["var"].astype(np.longdouble) - bound["var"], 0), s.eps, s.eps_at)
    r = np.maximum(r, 1 / denominator(p.moving_var.astype(np.longdouble), s.eps, s.eps_at))
    return np.asarray(
        (x * x * dy * gamma < limit) & (gamma * dy * x * x * r**3 < limit * n) & np.isfinite(p.moving_var)
    )


def exact_step(p: Population, s: Setting, summation: str = "any") -> tuple[Named, Named]:
    """Expected values and bounds of a training step, of prediction before it and of prediction after it."""
    E = WIDER[p.dtype]
    x, dy, gamma, beta, mm, mv = (a.astype(E) for a in p.arrays().values())
    precision, n, eps = precision_of(p.dtype.name), len(x), E(s.eps)
    want = exact_train(x, dy, gamma, beta, eps, s.eps_at)
    bound = dict(train_bounds(x, dy, gamma, beta, s.eps, precision, eps_at=s.eps_at, summation=summation))
    keep, var, var_bound = E(s.keep), want["var"], bound["var"]
    if s.unbiased:
        bessel = float(n) / (n - 1)
        var, var_bound = var * (E(n) / E(n - 1)), bessel * (var_bound + 2 * precision.work * want["var"])
    weights = (float(s.keep), 1 - s.keep, precision)
    want["moving_mean"], want["moving_var"] = keep * mm + (1 - keep) * want["mean"], keep * mv + (1 - keep) * var
    bound["moving_mean"] = moving_bound(0.0, mm, want["mean"], bound["mean"], *weights)
    bound["moving_var"] = moving_bound(0.0, mv, var, var_bound, *weights)
    given = exact_eval(x, dy, gamma, beta, mm, mv, eps, s.eps_at)
    of_given = eval_bounds(x, dy, gamma, beta, mm, mv, s.eps, precision, eps_at=s.eps_at, summation=summation)
    moved = want["moving_mean"], want["moving_var"]
    after = exact_eval(x, dy, gamma, beta, *moved, eps, s.eps_at)
    of_after = eval_bounds(
        x, dy, gamma, beta, *moved, s.eps, precision, moving_mean_bound=bound["moving_mean"],
        moving_var_bound=bound["moving_var"], eps_at=s.eps_at, summation=summation,
    )  # fmt: skip
    for prefix, values, bounds in (("eval", given, of_given), ("after", after, of_after)):
        want |= {f"{prefix}_{name}": value for name, value in values.items()}
        bound |= {f"{prefix}_{name}": value for name, value in bounds.items()}
    return want, bound


def judged_step(p: Population, s: Setting, summation: str = "any") -> tuple[Named, Named]:
    """`exact_step`; to the bounds of declared sums what is expected may be off itself is added, as a judge does it."""
    want, bound = exact_step(p, s, summation)
    if summation == "any":  # where it is far less, and the narrower bounds are attacked
        return want, bound
    _, in_any_order = exact_step(p, s)
    oracle = OracleError(unit_of(np.dtype(WIDER[p.dtype])), precision_of(p.dtype.name), len(p.x))
    shares = dict.fromkeys(OBSERVABLES, oracle.without_scale())
    of_moved = want["moving_var"], in_any_order["moving_var"]
    scales = {
        "": (want["var"], in_any_order["var"]),
        "eval_": (p.moving_var, np.zeros(p.channels())),
        "after_": of_moved,
    }
    for prefix, (var, var_error) in scales.items():
        of_scale = oracle.with_scale(np.asarray(var, np.float64), var_error, s.eps, s.eps_at)
        shares |= {f"{prefix}{name}": of_scale for name in ("y", "dx", "dgamma")}
    return want, {name: bound[name] + share.added(in_any_order[name]) for name, share in shares.items()}


def computed(p: Population, s: Setting, algorithm: Algorithm) -> Named:
    got = algorithm.train(p.x, p.dy, p.gamma, p.beta, s.eps, s.eps_at)
    var = algorithm.unbiased(got["var"], len(p.x)) if s.unbiased else got["var"]
    got["moving_mean"] = algorithm.moved(p.moving_mean, got["mean"], s.keep)
    got["moving_var"] = algorithm.moved(p.moving_var, var, s.keep)
    before = p.moving_mean, p.moving_var
    after = got["moving_mean"], got["moving_var"]
    for prefix, statistics in (("eval", before), ("after", after)):
        values = algorithm.eval(p.x, p.dy, p.gamma, p.beta, *statistics, s.eps, s.eps_at)
        got |= {f"{prefix}_{name}": value for name, value in values.items()}
    return got


def ratios(
    p: Population, s: Setting, algorithms: tuple[Algorithm, ...], summation: str = "any"
) -> Iterator[tuple[Algorithm, Named]]:
    """Worst error/bound of each channel, (C,) by observable, for each algorithm. Out of range: 0; NaN: infinite."""
    with np.errstate(all="ignore"):
        want, bound = judged_step(p, s, summation)
        valid = in_range(p, s, want, bound)
        for algorithm in algorithms:
            got = computed(p, s, algorithm)
            yield algorithm, {name: ratio(got[name], want[name], bound[name], valid) for name in OBSERVABLES}


def ratio(got: Array, want: Array, bound: Array, valid: Array) -> Array:
    error = np.abs(got - want).astype(np.float64)
    over = error / bound
    over = np.where((error == 0) | np.isinf(bound), 0.0, over)
    over = over if over.ndim == 1 else over.max(axis=0)
    return np.where(valid, np.nan_to_num(over, nan=np.inf, posinf=np.inf), 0.0)
