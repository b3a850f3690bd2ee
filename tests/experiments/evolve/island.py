"""One island of the search: a population of one n, dtype and setting that evolves towards the bounds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from tests.experiments.evolve import directed, evaluate, folded, mutate, rescaled, underflow
from tests.experiments.evolve.evaluate import Named, Population, Setting
from tests.targets.honest.algorithm import Algorithm
from tests.targets.honest.folds import Folded
from tests.targets.honest.second import SecondOrder

AWKWARD = (2, 3, 5, 7, 11, 15, 16, 17, 23, 31, 33, 63, 64, 65, 127, 129, 255, 257, 1023, 1025, 4095, 4096)
SHORT = 64
"""Most islands have channels no longer than this: a channel costs n, and most extremes need few values."""


ROOMS: dict[str, Any] = {
    "layer": mutate,
    "apart": mutate,
    "underflow": underflow,
    "derivatives": directed,
    "fold": folded,
    "rescaled": rescaled,
}
"""Who draws the populations, by what is attacked."""

OF_LAYERS = ("layer", "apart", "underflow")
"""What is attacked with a layer's step and prediction."""


@dataclass(frozen=True)
class Plan:
    """Everything that an island depends on: it plays the same again."""

    seed: int
    number: int
    generations: int = 16
    values: int = 16_384
    """Of a generation: short channels are many. At least 32 channels, at most 4,096; a quarter as many in float64."""
    min_n: int = 2
    max_n: int = 4096
    focus: int = 10
    """How many pairs of algorithm and observable it selects for."""
    summation: str = "any"
    """What the algorithms declare: whose bounds are attacked."""
    attacked: str = "layer"
    """"layer"; "apart": one that makes the products of y apart; "underflow": one whose products lie near the smallest
    normal number; "derivatives": forward mode and second ones; "fold": prediction folded into a dense layer;
    "rescaled": a layer whose x was multiplied by a number and divided by it."""

    @property
    def dtype(self) -> str:
        if self.attacked not in OF_LAYERS:
            return {0: "float64", 1: "bfloat16", 2: "float16"}.get(self.number % 8, "float32")
        return "float32" if self.number % 8 or self.summation == "wide" else "float64"

    @property
    def observables(self) -> tuple[str, ...]:
        of = {
            "derivatives": directed.OBSERVABLES,
            "fold": folded.OBSERVABLES,
            "rescaled": rescaled.OBSERVABLES,
        }
        return of.get(self.attacked, evaluate.OBSERVABLES)


@dataclass(frozen=True)
class Champion:
    """The channel that came nearest to the bound of an observable, for an algorithm."""

    ratio: float
    where: str
    """Its dtype, n, setting, ancestors' recipes, island and generation."""
    channel: dict[str, Any] | None = None
    """Its setting and its numbers, where they are few: what `regressions` takes up."""


@dataclass
class Result:
    number: int
    n: int
    channels: int = 0
    """Distinct channels, whatever the number of algorithms."""
    best: dict[str, dict[str, Champion]] = field(default_factory=dict)
    """By algorithm and observable."""


Algorithms = tuple[Algorithm, ...] | tuple[SecondOrder, ...] | tuple[Folded, ...]


def evolve(plan: Plan, algorithms: Algorithms) -> Result:
    of: Any = ROOMS[plan.attacked]
    rng = np.random.default_rng([plan.seed, plan.number])
    dtype = plan.dtype
    computed_in = "float64" if dtype == "float64" else "float32"
    n, setting = length(rng, plan.min_n, plan.max_n), drawn_setting(rng)
    count = max(32, min(4096, plan.values // n) // (4 if dtype == "float64" else 1))
    observables = plan.observables
    focus = [(int(rng.integers(len(algorithms))), str(rng.choice(observables))) for _ in range(plan.focus)]
    result = Result(plan.number, n, best={a.name: {o: Champion(0.0, "") for o in observables} for a in algorithms})
    population, names = of.drawn(rng, n, computed_in, count)
    for generation in range(plan.generations):
        where = f"{dtype}, n {n}, {described(setting)}, island {plan.number}, generation {generation}: "
        worst = worst_of_each(plan, population, setting, algorithms)
        chosen = select(population, setting, worst, focus, result, where, names)
        result.channels += population.channels()
        parents, parents_names = population.take(chosen), [names[k] for k in chosen]
        young, young_names = of.children(rng, parents, parents_names, int(count * 0.85))
        fresh, fresh_names = of.drawn(rng, n, computed_in, count - young.channels())
        population, names = young.joined(fresh), young_names + fresh_names
    return result


def worst_of_each(
    plan: Plan, population: Any, setting: Setting, algorithms: Any
) -> Iterator[tuple[Algorithm | SecondOrder | Folded, Named]]:
    if plan.attacked in OF_LAYERS:
        return evaluate.ratios(population, setting, algorithms, plan.summation)
    return ROOMS[plan.attacked].ratios(population, setting, algorithms, plan.dtype)


def select(
    population: Population, setting: Setting, worst_of_each: Iterator[tuple[Algorithm | SecondOrder | Folded, Named]],
    focus: list[tuple[int, str]], result: Result, where: str, names: list[str],
) -> np.ndarray:  # fmt: skip
    """The channels that breed: the best few of each pair in focus, and now and then the best of any other."""
    breeding: list[int] = []
    for place, (algorithm, worst) in enumerate(worst_of_each):
        for observable, ratio in worst.items():
            k = int(np.argmax(ratio))
            if ratio[k] > result.best[algorithm.name][observable].ratio:
                channel = numbers_of(population, setting, k) if len(population.x) <= SHORT else None
                result.best[algorithm.name][observable] = Champion(float(ratio[k]), where + names[k], channel)
                if (place + k) % 4 == 0:
                    breeding.append(k)
            if (place, observable) in focus:
                breeding += np.argsort(ratio)[-6:].tolist()
    return np.array(breeding or [0])


def numbers_of(population: Population, setting: Setting, channel: int) -> dict[str, Any]:
    """As JSON: float32 and float64 are exact there."""
    arrays = {name: a[..., channel].astype(np.float64).tolist() for name, a in population.arrays().items()}
    return {"dtype": population.dtype.name, "setting": asdict(setting), "arrays": arrays}


def length(rng: np.random.Generator, min_n: int, max_n: int) -> int:
    """n, small ones more often, and those beside powers of two."""
    limit = max_n if min_n > SHORT or rng.random() < 0.15 else min(SHORT, max_n)
    if rng.random() < 0.4:
        return int(rng.choice([n for n in AWKWARD if min_n <= n <= limit]))
    return min(limit, int(np.exp(rng.uniform(np.log(min_n), np.log(limit + 1)))))


def drawn_setting(rng: np.random.Generator) -> Setting:
    return Setting(
        eps=float(rng.choice([1e-5, 1e-3, 1e-8, 10 ** rng.uniform(-8, 0)])),
        eps_at="outside_sqrt" if rng.random() < 0.2 else "inside_sqrt",
        keep=float(rng.choice([0.9, 0.99, 0.1, 0.5, 0.999, 0.0, rng.random()])),
        unbiased=bool(rng.random() < 0.5),
    )


def described(s: Setting) -> str:
    return f"eps {s.eps:.3g} {s.eps_at}, keep {s.keep:.4g}, {'unbiased' if s.unbiased else 'biased'}"
