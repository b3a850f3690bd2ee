"""Does every honest algorithm stay within the error bounds, and does a fast variance not?

    python -m tests.experiments.bounds --cases 1000000 --out reference/error_bounds_table.md

A case is one channel. The reference is the formula in float64 (for float32) or np.longdouble (for float64),
which is itself checked in 50 digits on 1 % as many cases.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mpmath
import numpy as np

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from reference.error_bounds import eval_bounds, moving_bound, precision_of, train_bounds
from tests.experiments.bounds_inputs import Array, Batch, random_batch
from tests.targets.honest_algorithms import FAST_VARIANCE, HONEST, Algorithm

Named = dict[str, Array]

OBSERVABLES = ("y", "dx", "dgamma", "dbeta", "mean", "var", "moving_mean", "moving_var",
               "eval_y", "eval_dx", "eval_dgamma", "eval_dbeta")  # fmt: skip
N_DECADES = ("2-9", "10-99", "100-1024")
KAPPA_DECADES = ("<10", "1e1", "1e2", "1e3", "1e4", "1e5", ">=1e6")
EXTENDED: dict[str, Any] = {"float32": np.float64, "float64": np.longdouble}
# Ratios are counted in bins of 5 %: the table's percentiles are a bin's lower edge.
EDGES = np.concatenate([[0.0], np.geomspace(1e-8, 1e4, 567), [np.inf]])


def exact_train(x: Array, dy: Array, gamma: Array, beta: Array, eps: Any) -> Named:
    """The formula, with a mean that is corrected by the mean of what it leaves over."""
    mean = x.mean(axis=0)
    mean = mean + (x - mean).mean(axis=0)
    d = x - mean
    var = (d * d).mean(axis=0)
    r = 1 / np.sqrt(var + eps)
    xh = d * r
    dy_mean = dy.mean(axis=0)
    dy_mean = dy_mean + (dy - dy_mean).mean(axis=0)
    # sum(dy xh) = sum((dy - mean dy) xh), which does not lose digits where dy is nearly constant
    dgamma = ((dy - dy_mean) * xh).sum(axis=0)
    dx = gamma * r * (dy - dy_mean - xh * (dgamma / len(x)))
    dbeta, y = dy.sum(axis=0), gamma * xh + beta
    return {"mean": mean, "var": var, "y": y, "dx": dx, "dgamma": dgamma, "dbeta": dbeta}


def exact_eval(x: Array, dy: Array, gamma: Array, beta: Array, mean: Array, var: Array, eps: Any) -> Named:
    r = 1 / np.sqrt(var + eps)
    xh = (x - mean) * r
    dbeta, dgamma = dy.sum(axis=0), (dy * xh).sum(axis=0)
    return {"y": gamma * xh + beta, "dx": dy * gamma * r, "dgamma": dgamma, "dbeta": dbeta}


def expected_and_bounds(b: Batch) -> tuple[Named, Named]:
    """One training step, the moving statistics after it, and prediction with those (and their error)."""
    E = EXTENDED[b.dtype]
    x, dy, gamma, beta = (a.astype(E) for a in (b.x, b.dy, b.gamma, b.beta))
    mm, mv = b.moving_mean.astype(E), b.moving_var.astype(E)
    precision, n = precision_of(b.dtype), len(x)
    want = exact_train(x, dy, gamma, beta, E(b.eps))
    bound = train_bounds(x, dy, gamma, beta, b.eps, precision)
    keep = E(b.keep)
    bessel = E(n) / E(n - 1) if b.unbiased else E(1)
    want["moving_mean"] = keep * mm + (1 - keep) * want["mean"]
    want["moving_var"] = keep * mv + (1 - keep) * want["var"] * bessel
    bound["moving_mean"] = moving_bound(0.0, mm, want["mean"], bound["mean"], b.keep, 1 - b.keep, precision)
    bound["moving_var"] = moving_bound(
        0.0, mv, want["var"] * bessel, bound["var"] * float(bessel), b.keep, 1 - b.keep, precision
    )
    predicted = exact_eval(x, dy, gamma, beta, want["moving_mean"], want["moving_var"], E(b.eps))
    predicted_bound = eval_bounds(
        x, dy, gamma, beta, want["moving_mean"], want["moving_var"], b.eps, precision,
        bound["moving_mean"], bound["moving_var"],
    )  # fmt: skip
    want |= {f"eval_{k}": v for k, v in predicted.items()}
    bound |= {f"eval_{k}": v for k, v in predicted_bound.items()}
    return want, bound


def computed(b: Batch, algorithm: Algorithm) -> Named:
    got = algorithm.train(b.x, b.dy, b.gamma, b.beta, b.eps)
    n = len(b.x)
    T = b.x.dtype.type
    statistic = got["var"] * (T(n) / T(n - 1)) if b.unbiased else got["var"]
    got["moving_mean"] = algorithm.moved(b.moving_mean, got["mean"], b.keep)
    got["moving_var"] = algorithm.moved(b.moving_var, statistic, b.keep)
    predicted = algorithm.eval(b.x, b.dy, b.gamma, b.beta, got["moving_mean"], got["moving_var"], b.eps)
    got |= {f"eval_{k}": v for k, v in predicted.items()}
    assert all(v.dtype == T for v in got.values())
    return got


def ratios(got: Named, want: Named, bound: Named) -> Named:
    """Worst error/bound of each channel, (C,) for each observable. 0/0 is 0; NaN is infinitely wrong."""
    out = {}
    for name in OBSERVABLES:
        error = np.abs(got[name].astype(want[name].dtype) - want[name]).astype(np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(error == 0, 0.0, error / bound[name])
        ratio = np.where(np.isnan(ratio), np.inf, ratio)
        out[name] = ratio if ratio.ndim == 1 else ratio.max(axis=0)
    return out


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
    count: int = 0
    conclusive: int = 0
    worst: float = 0.0
    worst_by: str = ""
    histograms: dict[str, Array] = field(default_factory=lambda: defaultdict(_empty_histogram))

    def p99(self) -> tuple[float, str]:
        """99th percentile of error/bound over conclusive channels, of the algorithm where it is largest."""
        found = []
        for name, counts in self.histograms.items():
            place = np.searchsorted(np.cumsum(counts), 0.99 * counts.sum())
            found.append((float(EDGES[place]), name))
        return max(found, default=(0.0, ""))


Table = dict[tuple[str, str, int, int], Cell]


def judge(b: Batch, algorithms: tuple[Algorithm, ...], table: Table) -> None:
    want, bound = expected_and_bounds(b)
    decade, n = kappa_decade(b.x), n_decade(len(b.x))
    sure = {k: conclusive(want[k], bound[k], precision_of(b.dtype).work) for k in OBSERVABLES}
    for algorithm in algorithms:
        for name, ratio in ratios(computed(b, algorithm), want, bound).items():
            places = np.searchsorted(EDGES, ratio, side="right") - 1
            for k in np.unique(decade):
                here = decade == k
                cell = table[name, b.dtype, n, int(k)]
                if algorithm is algorithms[0]:
                    cell.count += int(here.sum())
                    cell.conclusive += int((here & sure[name]).sum())
                worst = float(ratio[here].max())
                if worst > cell.worst:
                    cell.worst, cell.worst_by = worst, algorithm.name
                np.add.at(cell.histograms[algorithm.name], places[here & sure[name]], 1)


def run(cases: int, seed: int, channels: int = 250, max_n: int = 1024) -> Table:
    rng = np.random.default_rng(seed)
    table: Table = defaultdict(Cell)
    for i in range(-(-cases // channels)):
        judge(random_batch(rng, ("float32", "float64")[i % 2], channels, max_n), HONEST, table)
    return table


def reference_error(cases: int, seed: int, dtype: str, max_n: int = 12) -> Named:
    """error/bound of the reference itself, against 50 digits, for each observable of a training step."""
    rng = np.random.default_rng(seed)
    worst: Named = {k: np.zeros(1) for k in ("y", "dx", "dgamma", "dbeta", "mean", "var")}
    for _ in range(-(-cases // 50)):
        b = random_batch(rng, dtype, 50, max_n)
        E = EXTENDED[dtype]
        x, dy, gamma, beta = (a.astype(E) for a in (b.x, b.dy, b.gamma, b.beta))
        got = exact_train(x, dy, gamma, beta, E(b.eps))
        bound = train_bounds(x, dy, gamma, beta, b.eps, precision_of(dtype))
        with mpmath.workdps(50):
            for c in range(50):
                for name, value in in_50_digits(b, c).items():
                    stored = np.atleast_1d(got[name][..., c])
                    limit = np.atleast_1d(bound[name][..., c])
                    for g, v, w in zip(stored, value, limit, strict=True):
                        worst[name] = np.maximum(worst[name], float(abs(_mpf(g) - v)) / float(w))
    return worst


def _mpf(value: Any) -> Any:
    """A longdouble without rounding: the sum of two doubles."""
    high = float(value)
    return mpmath.mpf(high) + mpmath.mpf(float(value - type(value)(high)))


def in_50_digits(b: Batch, c: int) -> dict[str, list[Any]]:
    """The same formula for one channel; call it with mpmath's precision set."""
    x, dy = ([mpmath.mpf(float(v)) for v in a[:, c]] for a in (b.x, b.dy))
    gamma, beta, eps = mpmath.mpf(float(b.gamma[c])), mpmath.mpf(float(b.beta[c])), mpmath.mpf(b.eps)
    n = len(x)
    mean = sum(x) / n
    var = sum((v - mean) ** 2 for v in x) / n
    r = 1 / mpmath.sqrt(var + eps)
    xh = [(v - mean) * r for v in x]
    dbeta, dgamma = sum(dy), sum(g * h for g, h in zip(dy, xh, strict=True))
    dx = [gamma * r * (g - dbeta / n - h * dgamma / n) for g, h in zip(dy, xh, strict=True)]
    y = [gamma * h + beta for h in xh]
    return {"y": y, "dx": dx, "dgamma": [dgamma], "dbeta": [dbeta], "mean": [mean], "var": [var]}


def fast_variance(kappa: float, n: int, rng: np.random.Generator, channels: int = 1000) -> dict[str, Named]:
    """error/bound (C,) of a fast variance, float32, Gaussian data of std 1, eps 1e-5."""
    T = np.float32
    x, dy = kappa + rng.normal(size=(n, channels)), rng.normal(size=(n, channels))
    b = Batch("float32", x.astype(T), dy.astype(T),
              np.full(channels, 1.5, T), np.full(channels, 0.5, T), np.full(channels, kappa, T),
              np.ones(channels, T), 1e-5, 0.5, False)  # fmt: skip
    want, bound = expected_and_bounds(b)
    return {a.name: ratios(computed(b, a), want, bound) for a in FAST_VARIANCE}


def report(table: Table, cases: int, seed: int, checked: dict[str, Named], seconds: float) -> str:
    lines = [
        "# Error over bound, measured",
        "",
        f"`python -m tests.experiments.bounds --cases {cases} --seed {seed}`: {sum_counts(table):,} "
        f"one-channel cases, {len(HONEST)} honest algorithms each, {seconds:.0f} s. A row: cases; how many "
        "of them are conclusive; the largest error/bound of all cases and algorithms (must be <= 1); the "
        "99th percentile of error/bound in conclusive channels for the least accurate algorithm (must be "
        "> 0.02). kappa is |mean|/std; its last class holds the constant channels.",
        "",
    ]
    conclusive_cells = [c for c in table.values() if c.conclusive]
    worst = max(table.items(), key=lambda item: item[1].worst)
    lowest = min(conclusive_cells, key=lambda c: c.p99()[0])
    lines += [
        f"Violations: **{sum(c.worst > 1 for c in table.values())}** of {len(table)} cells; worst ratio "
        f"{worst[1].worst:.2f} ({worst[0][0]}, {worst[0][1]}, {worst[1].worst_by}). "
        f"Lowest p99 of the {len(conclusive_cells)} conclusive cells: {lowest.p99()[0]:.3f}.",
        "",
        "## By observable",
        "",
        "| observable | dtype | max ratio | by | lowest p99 | highest p99 |",
        "|---|---|---:|---|---:|---:|",
    ]
    for name in OBSERVABLES:
        for dtype in EXTENDED:
            cells = [c for (o, d, _, _), c in table.items() if (o, d) == (name, dtype)]
            top = max(cells, key=lambda c: c.worst)
            p99s = [c.p99()[0] for c in cells if c.conclusive]
            low, high = min(p99s), max(p99s)
            lines.append(f"| {name} | {dtype} | {top.worst:.3f} | {top.worst_by} | {low:.3f} | {high:.3f} |")
    lines += ["", "## The reference itself", "", "Its error over the same bounds, in 50 digits, N <= 12:", ""]
    for dtype, found in checked.items():
        lines.append(f"* {dtype}: " + ", ".join(f"{k} {float(v[0]):.1e}" for k, v in found.items()))
    lines += ["", "## Fast variance", "",
              "E[x^2] - E[x]^2 in float32, 1,000 channels each (Gaussian, std 1, eps 1e-5): error/bound as "
              "1st percentile / median / maximum over channels. The median of y must exceed 100 at kappa "
              "1e4, N <= 64.", "",
              "| kappa | N | algorithm | y | var | moving_var |", "|---:|---:|---|---|---|---|"]  # fmt: skip
    rng = np.random.default_rng(seed)
    for kappa in (1e2, 1e3, 1e4):
        for n in (4, 16, 64, 256, 1024):
            for algorithm, found in fast_variance(kappa, n, rng).items():
                cells_text = " | ".join(
                    " / ".join(f"{q:.3g}" for q in np.quantile(found[k], [0.01, 0.5, 1]))
                    for k in ("y", "var", "moving_var")
                )
                lines.append(f"| {kappa:.0e} | {n} | {algorithm} | {cells_text} |")
    lines += ["", "## Every cell", "",
              "| observable | dtype | N | kappa | cases | conclusive | max ratio | by | p99 | by |",
              "|---|---|---|---|---:|---:|---:|---|---:|---|"]  # fmt: skip
    for key in sorted(table, key=lambda key: (OBSERVABLES.index(key[0]), *key[1:])):
        (name, dtype, n, k), cell = key, table[key]
        p99, by = cell.p99() if cell.conclusive else (0.0, "")
        lines.append(
            f"| {name} | {dtype} | {N_DECADES[n]} | {KAPPA_DECADES[k]} | {cell.count} "
            f"| {cell.conclusive} | {cell.worst:.3f} | {cell.worst_by} "
            f"| {f'{p99:.3f}' if cell.conclusive else 'inconclusive'} | {by} |"
        )
    return "\n".join(lines) + "\n"


def sum_counts(table: Table) -> int:
    return sum(c.count for (name, *_), c in table.items() if name == "y")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    start = time.monotonic()
    table = run(arguments.cases, arguments.seed)
    checked = {d: reference_error(arguments.cases // 200, arguments.seed, d) for d in EXTENDED}
    text = report(table, arguments.cases, arguments.seed, checked, time.monotonic() - start)
    if arguments.out:
        arguments.out.write_text(text, encoding="utf-8")
    print(text[: text.index("## Every cell")])
    holds = all(c.worst <= 1 for c in table.values())
    tells = all(c.p99()[0] > 0.02 for c in table.values() if c.conclusive)
    return 0 if holds and tells else 1


if __name__ == "__main__":
    sys.exit(main())
