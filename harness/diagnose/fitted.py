"""Mistakes with one unknown number: it is fitted on the worst failure, and must hold for every case."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import numpy as np

from harness.diagnose.mistakes.numbered import EPS_FAMILIES, MOMENTUM_FAMILIES, Family
from harness.diagnose.replay import replayed
from harness.judge.oracle import OracleLayer
from harness.judge.report import PlayedCase
from harness.observables import STATISTICS, STEP
from reference.conventions import Conventions

Fits = Callable[[type[OracleLayer], PlayedCase], bool]

GOLDEN_RATIO = (5**0.5 - 1) / 2
GRID_POINTS = 49
"""Where a number is looked for before the search between two of them: four a decade of the widest range."""
GOLDEN_STEPS = 75
"""Each narrows the interval by the golden ratio: 75 of them leave 2e-16 of it, the resolution of float64."""
DIGITS = (1, 2, 3, 4, 6, 9, 17)
"""To how many digits a fitted number is rounded, the roundest first: somebody typed it."""


@dataclass(frozen=True)
class Fitted:
    """A layer with its number, and that number in words."""

    id: str
    layer: type[OracleLayer]
    detail: str


class Fitting:
    """The search for the numbers of one target. fits: whether a layer explains a case."""

    def __init__(self, failing: list[PlayedCase], conventions: Conventions, fits: Fits) -> None:
        self.failing, self.conventions, self.fits = failing, conventions, fits
        self._closest: dict[Family, float | None] = {}

    def explanations(self, played: list[PlayedCase]) -> list[Fitted]:
        """For each id the first family with a number that explains everything. At least two cases must fail."""
        if len({case.case.id for case in self.failing}) < 2:
            return []
        by_id: dict[str, Fitted] = {}
        for family in possible_families(self.failing):
            if family.id in by_id:
                continue
            number = self.number_of(family, played)
            if number is not None:
                by_id[family.id] = Fitted(family.id, family.make(number), family.phrase.format(number))
        return list(by_id.values())

    def number_of(self, family: Family, played: list[PlayedCase]) -> float | None:
        """The number with which the family explains every case. None if there is none."""
        trial = self.trial
        closest = None if trial is None else self.closest(family, trial)
        if trial is None or closest is None:
            return None
        for rounded in roundings(closest):
            layer = family.make(rounded)
            if self.fits(layer, trial) and all(self.fits(layer, case) for case in played):
                return rounded
        return None

    @cached_property
    def trial(self) -> PlayedCase | None:
        """The case that a number is fitted to: the worst failure without an exception."""
        complete = (case for case in self.failing if all(result.error is None for result in case.observation.steps))
        return next(complete, None)

    def closest(self, family: Family, trial: PlayedCase) -> float | None:
        """The number with which the family comes closest to what was observed in one case."""

        def distance(number: float) -> float:
            return distance_to(family.make(number), trial, self.conventions)

        if family not in self._closest:
            self._closest[family] = minimum(distance, family.range.low, family.range.high)
        return self._closest[family]


def possible_families(failing: list[PlayedCase]) -> tuple[Family, ...]:
    """Momentum cannot change what a training step returns; eps cannot change the moving statistics."""
    wrong = {
        (judgement.op, judgement.observable)
        for case in failing
        for judgement in case.judgements
        if judgement.counts_against
    }
    moving = any(observable in STATISTICS for _, observable in wrong)
    trained = any(op == "train" and observable in STEP for op, observable in wrong)
    families = (() if trained else MOMENTUM_FAMILIES) + (() if moving else EPS_FAMILIES)
    return tuple(family for family in families if not any(family.spares in place for place in wrong))


def roundings(number: float, digits: tuple[int, ...] = DIGITS) -> Iterator[float]:
    """The number to so many digits, the roundest first."""
    return (float(f"{number:.{count}g}") for count in digits)


def minimum(distance: Callable[[float], float], low: float, high: float) -> float | None:
    """Where `distance` is least between low and high, both positive. None where it is finite nowhere on the grid."""
    grid = np.geomspace(low, high, GRID_POINTS)
    distances = [distance(float(number)) for number in grid]
    best = int(np.argmin(distances))
    if not np.isfinite(distances[best]):
        return None

    def of_logarithm(logarithm: float) -> float:
        return distance(float(np.exp(logarithm)))

    left, middle, right = (float(np.log(grid[n])) for n in (max(0, best - 1), best, min(len(grid) - 1, best + 1)))
    # The valley may be too narrow for the search where its bottom is a point of the grid: 1, for no average at all.
    return float(np.exp(min(golden_section(of_logarithm, left, right), middle, key=of_logarithm)))


def distance_to(layer: type[OracleLayer], played: PlayedCase, conventions: Conventions) -> float:
    """The largest deviation of what was observed from what `layer` gives, relative to each observable's size."""
    largest = 0.0
    for result, values in zip(played.observation.steps, replayed(layer, played, conventions), strict=False):
        if values is None:
            return np.inf
        names = [name for name, got in result.values.items() if got.size and got.shape == values[name].shape]
        if names:
            largest = max(
                largest, *shares_off([result.values[name] for name in names], [values[name] for name in names])
            )
    return largest


def shares_off(got: list[np.ndarray], want: list[np.ndarray]) -> list[float]:
    """Of each two arrays the largest deviation, as a share of the largest value that is wanted; none may be empty."""
    starts = [0, *accumulate(array.size for array in want[:-1])]
    given, row = (
        np.concatenate([array.ravel() for array in arrays], dtype=want[0].dtype, casting="unsafe")
        for arrays in (got, want)
    )
    with np.errstate(all="ignore"):
        error, size = (np.maximum.reduceat(np.abs(array), starts) for array in (given - row, row))
        share = (error / np.where(size == 0, 1, size)).astype(np.float64)
    return np.where(np.isfinite(share), share, np.inf).tolist()


def golden_section(f: Callable[[float], float], a: float, b: float) -> float:
    """The minimum of f between a and b, by golden-section search (Kiefer 1953): a distance is a sharp valley."""
    c, d = b - GOLDEN_RATIO * (b - a), a + GOLDEN_RATIO * (b - a)
    fc, fd = f(c), f(d)
    for _ in range(GOLDEN_STEPS):
        if fc < fd:
            b, d, fd = d, c, fc
            c = b - GOLDEN_RATIO * (b - a)
            fc = f(c)
        else:
            a, c, fc = c, d, fd
            d = a + GOLDEN_RATIO * (b - a)
            fd = f(d)
    return (a + b) / 2
