r"""EVERY_ROUNDING.md: how near to its bound a formula can come, whatever its roundings are, to first order.

    python -m tests.experiments.every_rounding --seconds 600 > tests/experiments/EVERY_ROUNDING.md

Not what happens to happen in arrays that round: the sum of |derivative by a rounding| times the greatest rounding that
the model of arithmetic allows, over the bound (`targets/honest/every_rounding.py`). Data evolves as in
`tests.experiments.evolve`. What underflows has no part in it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np

from reference.error_bounds import quietly
from tests.experiments.commit import commit_of_this_checkout
from tests.experiments.evolve import directed, evaluate, mutate
from tests.experiments.evolve.evaluate import Array, Population, Setting, exact_step
from tests.experiments.evolve.island import described, drawn_setting
from tests.targets.honest import autodiff, gradients, quotients, second, statistics, textbooks
from tests.targets.honest.algorithm import Algorithm
from tests.targets.honest.every_rounding import (
    BY_RECIPROCAL_ROOT,
    BY_ROOT,
    SUMS,
    Roundings,
    Traced,
)
from tests.targets.honest.gradients import Saved
from tests.targets.honest.roots import Roots
from tests.targets.honest.second_formulas import FORWARDS, At, Scale
from tests.targets.honest.second_ways import Way

Ratios = dict[tuple[str, str], Array]
"""By observable and formula, (C,)."""

STATISTICS = (statistics.two_pass, statistics.two_pass_reciprocal_count, statistics.shifted_two_pass)
WEIGHTED = statistics.Welford(None, statistics.weighted_mean)
MERGES = (
    WEIGHTED,
    statistics.Welford(None, statistics.weighted_mean_by_division),
    statistics.Welford(None, statistics.chan_by_product),
    statistics.Welford(None, in_turn=True),
)
UPDATES = (statistics.one_after_another, statistics.one_after_another_by_reciprocals)
OF_ANY_SUMS = (*STATISTICS, statistics.two_pass_of_quotients, *MERGES, *UPDATES)
LENGTHS = (2, 3, 4, 5, 6, 7, 8, 16, 32)
ROOTS = MappingProxyType({"root": BY_ROOT, "reciprocal root": BY_RECIPROCAL_ROOT})


def named(*functions: Callable[..., Any]) -> Mapping[str, Callable[..., Any]]:
    return MappingProxyType({f"{f.__module__.rpartition('.')[2]}.{f.__name__}": f for f in functions})


FORMS: Mapping[str, Mapping[str, Callable[..., Any]]] = MappingProxyType(
    {
        "y": named(gradients.normalized_first, gradients.divided_by_std, gradients.scaled_deviation,
                   gradients.scale_and_shift),
        "dgamma": named(gradients.of_normalized, gradients.of_quotient, gradients.of_deviation),
        "dx": named(gradients.closed, gradients.over_n, gradients.terms_apart, gradients.as_torch,
                    gradients.three_coefficients, gradients.reverse_mode, gradients.autodiff_torch,
                    gradients.autodiff_torch_two_nodes, gradients.autodiff_jax, textbooks.computational_graph,
                    textbooks.simplified, textbooks.as_tensorflow),
    }
)  # fmt: skip
"""Also of targets that declare their sums."""

APART: Mapping[str, Mapping[str, Callable[..., Any]]] = MappingProxyType(
    {
        "y": named(gradients.algorithm_2, gradients.products_apart, gradients.difference_of_products,
                   quotients.difference_of_quotients, quotients.quotients_with_gamma),
        "dgamma": named(gradients.regrouped, quotients.of_quotients, quotients.of_quotients_with_dy,
                        quotients.of_quotients_of_sums),
        "dx": named(gradients.autodiff_folded, quotients.multiplied_out, quotients.of_x_first,
                    quotients.of_means_of_quotients, quotients.over_n, textbooks.as_caffe2),
    }
)  # fmt: skip


@dataclass(frozen=True)
class OfLayers:
    """y, dgamma and dx of a training step, y and dgamma of a prediction."""

    summation: str = "any"

    def drawn(self, rng: mutate.Rng, n: int, channels: int) -> tuple[Population, list[str]]:
        return mutate.drawn(rng, n, "float32", channels)

    def ratios(self, p: Population, s: Setting, rng: mutate.Rng) -> Ratios:
        of_any = self.summation == "any"
        chosen = OF_ANY_SUMS if of_any else STATISTICS
        return self.ratios_of(p, s, chosen[rng.integers(len(chosen))], ROOTS[str(rng.choice(list(ROOTS)))])

    @quietly
    def ratios_of(self, p: Population, s: Setting, of_batch: statistics.Statistics, roots: Roots) -> Ratios:
        want, bound = exact_step(p, s, self.summation)
        valid = evaluate.in_range(p, s, want, bound)
        add = SUMS[self.summation]
        result: Ratios = {}
        for prefix in ("", "eval_"):
            of = Roundings(of_first_place=self.summation != "any")
            x, gamma, beta, dy, mean, var = (
                of.number(a) for a in (p.x, p.gamma, p.beta, p.dy, p.moving_mean, p.moving_var)
            )
            if not prefix:
                mean, var = of_batch(x, add, roots.divide)  # type: ignore[assignment, arg-type]
            kept, made = saved(x, gamma, beta, mean, var, s, roots, add), of.count
            for name in ("y", "dgamma", "dx") if not prefix else ("y", "dgamma"):
                for formula, form in (FORMS[name] | (APART[name] if self.summation == "any" else {})).items():
                    of.count = made  # each begins where the statistics ended
                    more = {"y": (), "dgamma": (dy,)}.get(name, (dy, None))
                    if name == "dx":
                        more = (dy, gradients.of_normalized(kept, dy))  # type: ignore[arg-type]
                    error = form(kept, *more).greatest_error
                    result[f"{prefix}{name}", formula] = _over(error, bound[f"{prefix}{name}"], valid)
        return result


def saved(
    x: Traced, gamma: Traced, beta: Traced, mean: Traced, var: Traced, s: Setting, roots: Roots, add: Any
) -> Saved:
    eps: Any = x.of.result(np.asarray(s.eps), [], 1.0)
    outside = s.eps_at == "outside_sqrt"
    under_root: Any = var if outside else var + eps
    std = roots.root(under_root)
    std = std + eps if outside else std
    r = roots.divide(x.of.number(1.0), std) if outside else roots.reciprocal_root(under_root)  # type: ignore[arg-type]
    return Saved(x, gamma, beta, mean, var, std, r, under_root, outside, add, roots)  # type: ignore[arg-type]


def _over(error: Array, bound: Array, valid: Array) -> Array:
    ratio = np.where(error == 0, 0.0, error / bound)
    ratio = ratio if ratio.ndim == 1 else ratio.max(axis=0)
    return np.where(valid & np.isfinite(ratio), ratio, 0.0)


@dataclass(frozen=True)
class OfDerivatives:
    """Forward mode and second derivatives, in training and in prediction."""

    summation: str = "any"

    def drawn(self, rng: mutate.Rng, n: int, channels: int) -> tuple[directed.Directed, list[str]]:
        return directed.drawn(rng, n, "float32", channels)

    def ratios(self, p: directed.Directed, s: Setting, rng: mutate.Rng) -> Ratios:
        of_any = self.summation == "any"
        statistics, algorithms = (OF_ANY_SUMS, second.SECOND_ORDER) if of_any else (STATISTICS, second.OF_DECLARED_SUMS)
        chosen = rng.choice(len(algorithms), 4, replace=False)
        of_batch, roots = statistics[rng.integers(len(statistics))], ROOTS[str(rng.choice(list(ROOTS)))]
        ways = {algorithms[k].name.rpartition(",")[0] or algorithms[k].name: k for k in chosen}
        result: Ratios = {}
        for name, k in ways.items():
            algorithm = algorithms[k]
            for observable, ratio in self.ratios_of(p, s, algorithm.way, algorithm.rules, of_batch, roots).items():
                result[observable, name] = ratio
        return result

    @quietly
    def ratios_of(
        self, p: directed.Directed, s: Setting, way: Way, rules: autodiff.Rules,
        of_batch: statistics.Statistics, roots: Roots,
    ) -> dict[str, Array]:  # fmt: skip
        want, bound = directed.exact_derivatives(p, s, "float32", self.summation)
        valid = directed.in_range(p, s, want, bound, "float32")
        arrays, result = p.arrays(), {}
        for prefix in ("", "eval_"):
            of = Roundings(of_first_place=self.summation != "any")
            add = SUMS[self.summation]
            base = Algorithm("any", of_batch, add, roots, arithmetic=of.number)  # type: ignore[arg-type]
            calculus = autodiff.Calculus(base, p.x, rules)
            at = At(**{name: calculus.number(arrays[name]) for name in directed.GIVEN})
            given = (calculus.number(p.moving_mean), calculus.number(p.moving_var)) if prefix else None
            for name, number in way(calculus, at, Scale(s.eps, s.eps_at == "outside_sqrt", given)).items():
                error = number.array.greatest_error  # type: ignore[attr-defined]
                result[f"{prefix}{name}"] = _over(error, bound[f"{prefix}{name}"], valid)
        return result


@dataclass(frozen=True)
class OfStatistics(OfLayers):
    """Mean and variance themselves."""

    @quietly
    def ratios(self, p: Population, s: Setting, rng: mutate.Rng) -> Ratios:  # noqa: ARG002
        want, bound = exact_step(p, s, self.summation)
        valid, declared = evaluate.in_range(p, s, want, bound), self.summation != "any"
        result: Ratios = {}
        for of_batch in STATISTICS if declared else OF_ANY_SUMS:
            x = Roundings(of_first_place=declared).number(p.x)
            both = of_batch(x, SUMS[self.summation], ROOTS["root"].divide)  # type: ignore[arg-type]
            for name, statistic in zip(("mean", "var"), both, strict=True):
                error = statistic.greatest_error  # type: ignore[attr-defined]
                result[name, name_of(of_batch)] = _over(error, bound[name], valid)
        return result


def name_of(of_batch: Any) -> str:
    if not isinstance(of_batch, statistics.Welford):
        return str(of_batch.__name__)
    return f"{of_batch.merge.__name__}, {'in turn' if of_batch.in_turn else 'in pairs'}"


@dataclass(frozen=True)
class OfReverseMode(OfLayers):
    """y, dgamma and dx of compositions that are differentiated mechanically, by the rules of each framework."""

    @quietly
    def ratios_of(self, p: Population, s: Setting, of_batch: statistics.Statistics, roots: Roots) -> Ratios:
        want, bound = exact_step(p, s, self.summation)
        valid = evaluate.in_range(p, s, want, bound)
        declared = self.summation != "any"
        add = SUMS[self.summation]
        result: Ratios = {}
        for name, forward in FORWARDS.items():
            if declared and name in MADE_APART:
                continue
            for rules in (autodiff.PYTORCH, second.JAX, second.RESULT):
                of = Roundings(of_first_place=declared)
                base = Algorithm("any", made_once(of_batch), add, roots, arithmetic=of.number)  # type: ignore[arg-type]
                calculus = autodiff.Calculus(base, p.x, rules)
                at = [calculus.number(a) for a in (p.x, p.gamma, p.beta)]
                of_at = partial(forward, scale=Scale(s.eps, s.eps_at == "outside_sqrt"))
                y = of_at(*at)
                dx, dgamma, _ = calculus.vjp(lambda *at, f=of_at: [f(*at)], at, [calculus.number(p.dy)])  # type: ignore[misc]
                numbers = {"y": y, "dx": dx, "dgamma": dgamma}
                if declared and name == "scale and shift":
                    del numbers["dgamma"]  # of sum(dy x) and mean sum(dy): not what is declared
                for observable, number in numbers.items():
                    error = number.array.greatest_error  # type: ignore[attr-defined]
                    ratio = _over(error, bound[observable], valid)
                    result[observable, name] = np.maximum(ratio, result.get((observable, name), 0.0))
        return result


MADE_APART = ("quotients apart", "quotients of rows")
"""Whoever declares sums makes x and mean one product."""


def made_once(of_batch: statistics.Statistics) -> statistics.Statistics:
    """The mean that a derivative takes is the very number of the forward pass."""
    kept: list[Any] = []

    def statistics_of(*arguments: Any) -> Any:
        if not kept:
            kept.append(of_batch(*arguments))
        return kept[0]

    return statistics_of


@dataclass(frozen=True)
class Greatest:
    ratio: float
    where: str
    setting: Setting
    channel: Any


def evolved(attacked: Any, seed: int, n: int, generations: int = 10, channels: int = 128) -> dict[Any, Greatest]:
    """Of each observable and formula the channel that came nearest to its bound."""
    rng = np.random.default_rng([seed, n])
    setting, best = drawn_setting(rng), {}
    population, names = attacked.drawn(rng, n, channels)
    for _ in range(generations):
        breeding: list[int] = []
        all_ratios = attacked.ratios(population, setting, rng)
        for pair, ratio in all_ratios.items():
            k = int(np.argmax(ratio))
            if pair not in best or ratio[k] > best[pair].ratio:
                where = f"n {n}, {described(setting)}, seed {seed}, {names[k]}"
                best[pair] = Greatest(float(ratio[k]), where, setting, population.take(np.array([k])))
            breeding += np.argsort(ratio)[-4:].tolist()
        chosen = np.array(sorted(set(breeding)))
        parents = population.take(chosen)
        of = directed if isinstance(parents, directed.Directed) else mutate
        young, young_names = of.children(rng, parents, [names[k] for k in chosen], int(0.85 * channels))
        fresh, fresh_names = attacked.drawn(rng, n, channels - young.channels())
        population, names = young.joined(fresh), young_names + fresh_names
    return best


ATTACKED: Mapping[str, Any] = MappingProxyType(
    {
        f"{what}, sums {'in any order' if how == 'any' else 'declared ' + how}": attacked(how)
        for what, attacked in {
            "Mean and variance": OfStatistics,
            "Training steps and predictions": OfLayers,
            "Reverse mode": OfReverseMode,
            "Forward mode and second derivatives": OfDerivatives,
        }.items()
        for how in SUMS
    }
)


def table(title: str, seconds: float) -> list[str]:
    best: dict[Any, Greatest] = {}
    started, seed = time.process_time(), 0
    while time.process_time() - started < seconds:
        n = LENGTHS[seed % len(LENGTHS)]
        for pair, greatest in evolved(ATTACKED[title], seed, n, channels=min(128, 1024 // n)).items():
            if pair not in best or greatest.ratio > best[pair].ratio:
                best[pair] = greatest
        seed += 1
    rows = [f"| {o} | {formula} | {g.ratio:.3f} | {g.where} |" for (o, formula), g in sorted(best.items())]
    return [f"## {title}", "", f"{seed:,} searches, n of 2 to 8, 16 and 32.", "",
            "| observable | formula | greatest error/bound | at |", "|---|---|---:|---|", *rows, ""]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600, help="of processor time, for each part")
    seconds = parser.parse_args().seconds
    lines = ["# How near to its bound a formula can come, whatever its roundings are", "",
             f"Made by `python -m tests.experiments.every_rounding` at {commit_of_this_checkout()}: the sum over all "
             "roundings of |derivative| times the greatest rounding that the model allows, over the bound; float32, "
             "no underflow. 1 is attained where a bound is sharp; more than 1 is a fault in a proof.", ""]  # fmt: skip
    for title in ATTACKED:
        lines += table(title, seconds)
    print("\n".join(lines).rstrip())


if __name__ == "__main__":
    main()
