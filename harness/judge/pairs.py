"""Two targets against each other: equal within the sum of their bounds, or different as their conventions declare."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np

from harness.judge.beside import distance
from harness.judge.judge import widest_conclusive
from harness.judge.pair import PAIR_SEVERITY, Pair, PairVerdict
from harness.judge.report import PlayedCase, TargetReport
from harness.observables import OBSERVABLES
from reference.conventions import same_behaviour
from reference.error_bounds import precision_of


@dataclass(frozen=True)
class PairComparison:
    """Two targets in one observable of one step."""

    observable: str
    declared: bool
    """Whether their conventions alone put more between them than the bounds allow."""
    ratio: float | None
    """None where nothing is proved."""

    @property
    def verdict(self) -> PairVerdict:
        if self.declared:
            return PairVerdict.declared
        if self.ratio is None:
            return PairVerdict.inconclusive
        return PairVerdict.agree if self.ratio <= 1 else PairVerdict.differ


@dataclass
class PairOutcome:
    """What the comparisons of two targets in one observable and dtype amount to so far."""

    compared: int = 0
    verdict: PairVerdict = PairVerdict.inconclusive
    declared: bool = False
    ratio: float | None = None
    case: str | None = None

    def add(self, comparison: PairComparison, case: str) -> None:
        self.compared += 1
        self.verdict = min(self.verdict, comparison.verdict, key=PAIR_SEVERITY.index)
        self.declared = self.declared or comparison.declared
        if comparison.ratio is not None and (self.ratio is None or comparison.ratio > self.ratio):
            self.ratio, self.case = comparison.ratio, case


@dataclass(frozen=True)
class PairStandard:
    """How far apart two targets may be in one observable of one step."""

    declared: bool
    """Whether their conventions alone put more between them than the bounds allow."""
    counted: np.ndarray
    """Booleans, in the observable's shape: where a comparison proves something."""
    apart: np.ndarray
    """float64, likewise: the sum of the bounds, and what the conventions put between the two."""

    @cached_property
    def counts_all(self) -> bool:
        return bool(self.counted.all() and (self.apart > 0).all())

    @cached_property
    def counts_none(self) -> bool:
        return not self.counted.any()


@dataclass(frozen=True)
class Side:
    """What is expected of one of the two in one observable of one step."""

    law: np.ndarray
    """Booleans that broadcast against the observable: the channels whose values are law."""
    finite: np.ndarray
    widest: np.ndarray
    """The largest bound that proves something."""


def compare_pairs(reports: list[TargetReport]) -> list[Pair]:
    """Every pair of loaded targets, every observable, every dtype that both were asked for."""
    loaded = [report for report in reports if report.conventions is not None]
    played = [{(case.case.id, case.dtype): case for case in report.played} for report in loaded]
    outcomes: dict[tuple[int, int], dict[tuple[str, str], PairOutcome]] = {
        pair: {} for pair in combinations(range(len(loaded)), 2)
    }
    for key in dict.fromkeys(key for of_target in played for key in of_target):
        players = [number for number, of_target in enumerate(played) if key in of_target]
        standards = Standards()
        with np.errstate(all="ignore"):
            for a, b in combinations(players, 2):
                for comparison in standards.comparisons(played[a][key], played[b][key]):
                    of_pair = outcomes[a, b].setdefault((key[1], comparison.observable), PairOutcome())
                    of_pair.add(comparison, key[0])
    return [pair for (a, b), of_pair in outcomes.items() for pair in _pairs(loaded[a], loaded[b], of_pair)]


def _pairs(a: TargetReport, b: TargetReport, outcomes: dict[tuple[str, str], PairOutcome]) -> Iterator[Pair]:
    assert a.conventions is not None
    assert b.conventions is not None
    fields = tuple(same_behaviour(a.conventions, b.conventions))
    for key, of in outcomes.items():
        declared_by = fields if of.declared else ()
        yield Pair(a.target, b.target, *key, of.verdict, of.ratio, of.case, of.compared, declared_by)


class Standards:
    """Those of one case in one dtype. Targets of the same conventions share what is expected, and so share them."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, int, int, str], PairStandard] = {}
        self._sides: dict[tuple[int, int, str], Side] = {}

    def comparisons(self, a: PlayedCase, b: PlayedCase) -> Iterator[PairComparison]:
        """One for each observable that both gave, of each step that both made."""
        if a.case.policy == "all":
            return
        steps = zip(a.observation.steps, b.observation.steps, a.expected, b.expected, strict=False)
        for step, (result_a, result_b, expected_a, expected_b) in enumerate(steps):
            given = result_a.values.keys() & result_b.values.keys()
            for name in sorted(given & expected_a.values.keys() & expected_b.values.keys()):  # a set's order is random
                got_a, got_b = result_a.values[name], result_b.values[name]
                truth = expected_a.values[name]
                if got_a.shape == truth.shape and got_b.shape == expected_b.values[name].shape:
                    yield compared(name, got_a, got_b, truth.dtype, self._of(a, b, step, name))

    def _of(self, a: PlayedCase, b: PlayedCase, step: int, name: str) -> PairStandard:
        key = id(a.expected), id(b.expected), step, name
        if key not in self._kept:
            truth_a, truth_b = a.expected[step].values[name], b.expected[step].values[name]
            bound = a.expected[step].bounds[name] + b.expected[step].bounds[name]
            between = np.abs(truth_a - truth_b).astype(np.float64)  # what the conventions alone put between them
            side_a, side_b = self._side(a, step, name), self._side(b, step, name)
            declared = bool((side_a.law & (between > bound)).any())
            counted = side_a.law & side_a.finite & side_b.finite & (bound <= side_a.widest)
            self._kept[key] = PairStandard(declared, counted, bound + between)
        return self._kept[key]

    def _side(self, played: PlayedCase, step: int, name: str) -> Side:
        key = id(played.expected), step, name
        if key not in self._sides:
            truth, case = played.expected[step].values[name], played.case
            law = np.array([not case.is_policy(channel, played.dtype) for channel in range(case.shape[1])])
            law = law.reshape(1, -1, *[1] * (truth.ndim - 2)) if truth.ndim > 1 else law
            u = OBSERVABLES[name].unit_roundoff(precision_of(played.dtype))
            finite = np.isfinite(truth.astype(np.float64))
            self._sides[key] = Side(law, finite, widest_conclusive(truth, u))
        return self._sides[key]


def compared(name: str, a: np.ndarray, b: np.ndarray, wide: np.dtype, by: PairStandard) -> PairComparison:
    """Two results of the same shape, subtracted in the type `wide`."""
    if by.declared or by.counts_none:
        return PairComparison(name, by.declared, None)
    difference = distance(a.astype(wide), b.astype(wide))
    ratios = difference / by.apart
    if not by.counts_all:
        ratios = np.where(by.counted & (difference != 0), ratios, 0.0)
    worst = float(np.maximum.reduce(ratios, axis=None))
    return PairComparison(name, False, float("inf") if np.isnan(worst) else worst)
