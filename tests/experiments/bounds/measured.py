"""Error over bound of each algorithm over random cases, counted by observable, dtype, n and kappa = |mean|/std."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from reference.error_bounds import precision_of
from tests.experiments.bounds.exact import Named, expected_and_bounds
from tests.experiments.bounds.fast_variance import FAST_VARIANCE
from tests.experiments.bounds.inputs import Array, Batch, random_batch
from tests.targets.honest.algorithm import Algorithm
from tests.targets.honest.forty import ALGORITHMS

OBSERVABLES = ("y", "dx", "dgamma", "dbeta", "mean", "var", "moving_mean", "moving_var",
               "eval_y", "eval_dx", "eval_dgamma", "eval_dbeta")  # fmt: skip
N_DECADES = ("2-9", "10-99", "100-1024")
KAPPA_DECADES = ("<10", "1e1", "1e2", "1e3", "1e4", "1e5", ">=1e6")
# Ratios are counted in bins of 5 %: the table's percentiles are a bin's lower edge.
EDGES = np.concatenate([[0.0], np.geomspace(1e-8, 1e4, 567), [np.inf]])


def computed(b: Batch, algorithm: Algorithm) -> Named:
    """What an algorithm gives: a training step, the moving statistics after it, and prediction with those."""
    got = algorithm.train(b.x, b.dy, b.gamma, b.beta, b.eps)
    statistic = algorithm.unbiased(got["var"], len(b.x)) if b.unbiased else got["var"]
    got["moving_mean"] = algorithm.moved(b.moving_mean, got["mean"], b.keep)
    got["moving_var"] = algorithm.moved(b.moving_var, statistic, b.keep)
    predicted = algorithm.eval(b.x, b.dy, b.gamma, b.beta, got["moving_mean"], got["moving_var"], b.eps)
    got |= {f"eval_{k}": v for k, v in predicted.items()}
    assert all(v.dtype == b.x.dtype for v in got.values())
    return got


def ratios(got: Named, want: Named, bound: Named) -> Named:
    """Worst error/bound of each channel, (C,) for each observable. 0/0 is 0; NaN is infinitely wrong."""
    worst = {}
    for name in OBSERVABLES:
        error = np.abs(got[name].astype(want[name].dtype) - want[name]).astype(np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(error == 0, 0.0, error / bound[name])
        ratio = np.where(np.isnan(ratio), np.inf, ratio)
        worst[name] = ratio if ratio.ndim == 1 else ratio.max(axis=0)
    return worst


def conclusive(want: Array, bound: Array, unit: float) -> Array:
    """Channels where agreement means something: the bound is at most 1 % of the RMS of the values, (C,)."""
    want, bound = np.atleast_2d(want).astype(np.float64), np.atleast_2d(bound)
    return np.asarray(bound.max(axis=0) <= max(1e-2, 8 * unit) * np.sqrt((want**2).mean(axis=0)))


def kappa_decade(x: Array) -> Array:
    x = x.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        kappa = np.abs(x.mean(axis=0)) / x.std(axis=0)
        return np.clip(np.nan_to_num(np.log10(kappa), nan=6, posinf=6, neginf=0), 0, 6).astype(int)


def n_decade(n: int) -> int:
    return min(len(str(n)) - 1, 2)


def _empty_histogram() -> Array:
    return np.zeros(len(EDGES), int)


@dataclass
class Cell:
    """What was measured of one observable in one dtype, class of n and class of kappa."""

    count: int = 0
    conclusive: int = 0
    worst: float = 0.0
    worst_by: str = ""
    histograms: dict[str, Array] = field(default_factory=lambda: defaultdict(_empty_histogram))

    def p99(self) -> tuple[float, str]:
        """99th percentile of error/bound over conclusive channels, of the algorithm where it is largest."""
        percentiles = []
        for name, counts in self.histograms.items():
            bin_number = np.searchsorted(np.cumsum(counts), 0.99 * counts.sum())
            percentiles.append((float(EDGES[bin_number]), name))
        return max(percentiles, default=(0.0, ""))


Table = dict[tuple[str, str, int, int], Cell]
"""By observable, dtype, index in N_DECADES and index in KAPPA_DECADES."""


def add_batch(b: Batch, algorithms: tuple[Algorithm, ...], table: Table) -> None:
    want, bound = expected_and_bounds(b)
    decade, n = kappa_decade(b.x), n_decade(len(b.x))
    proves = {k: conclusive(want[k], bound[k], precision_of(b.dtype).work) for k in OBSERVABLES}
    for algorithm in algorithms:
        for name, ratio in ratios(computed(b, algorithm), want, bound).items():
            bins = np.searchsorted(EDGES, ratio, side="right") - 1
            for k in np.unique(decade):
                here = decade == k
                cell = table[name, b.dtype, n, int(k)]
                if algorithm is algorithms[0]:
                    cell.count += int(here.sum())
                    cell.conclusive += int((here & proves[name]).sum())
                worst = float(ratio[here].max())
                if worst > cell.worst:
                    cell.worst, cell.worst_by = worst, algorithm.name
                np.add.at(cell.histograms[algorithm.name], bins[here & proves[name]], 1)


def measure(cases: int, seed: int, channels: int = 250, max_n: int = 1024) -> Table:
    """The table of `cases` channels, `channels` of them a batch, float32 and float64 in turn."""
    rng = np.random.default_rng(seed)
    table: Table = defaultdict(Cell)
    for number in range(-(-cases // channels)):
        add_batch(random_batch(rng, ("float32", "float64")[number % 2], channels, max_n), ALGORITHMS, table)
    return table


def cases_counted(table: Table) -> int:
    return sum(c.count for (name, *_), c in table.items() if name == "y")


def fast_variance(kappa: float, n: int, rng: np.random.Generator, channels: int = 1000) -> dict[str, Named]:
    """error/bound (C,) of a fast variance, float32, Gaussian data of std 1, eps 1e-5."""
    T = np.float32
    x, dy = kappa + rng.normal(size=(n, channels)), rng.normal(size=(n, channels))
    b = Batch("float32", x.astype(T), dy.astype(T),
              np.full(channels, 1.5, T), np.full(channels, 0.5, T), np.full(channels, kappa, T),
              np.ones(channels, T), 1e-5, 0.5, False)  # fmt: skip
    want, bound = expected_and_bounds(b)
    return {a.name: ratios(computed(b, a), want, bound) for a in FAST_VARIANCE}
