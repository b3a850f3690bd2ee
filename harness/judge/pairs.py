"""Two targets against each other: equal within the sum of their bounds, or different as their conventions declare."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from harness.judge.beside import distance
from harness.judge.judge import conclusive
from harness.judge.pair import PAIR_SEVERITY, Pair, PairVerdict
from harness.judge.report import PlayedCase, TargetReport
from harness.observables import OBSERVABLES
from reference.conventions import same_behaviour
from reference.error_bounds import precision_of


@dataclass(frozen=True)
class Comparison:
    """Two targets in one observable of one step."""

    observable: str
    declared: bool
    """Whether their conventions alone put more between them than the bounds allow."""
    ratio: float | None
    """None where nothing is proved."""


def compare_pairs(reports: list[TargetReport]) -> list[Pair]:
    """Every pair of loaded targets, every observable, every dtype that both were asked for."""
    loaded = [report for report in reports if report.conventions is not None]
    return [pair for a, b in combinations(loaded, 2) for pair in _compare(a, b)]


def _compare(a: TargetReport, b: TargetReport) -> Iterator[Pair]:
    assert a.conventions is not None
    assert b.conventions is not None
    different_fields = tuple(same_behaviour(a.conventions, b.conventions))
    played_by_b = {(played.case.id, played.dtype): played for played in b.played}
    pairs: dict[tuple[str, str], Pair] = {}
    for played in a.played:
        other = played_by_b.get((played.case.id, played.dtype))
        if other is None or played.case.policy == "all":
            continue
        for comparison in _comparisons(played, other):
            key = (played.dtype, comparison.observable)
            pair = pairs.get(key) or Pair(a.target, b.target, *key)
            pairs[key] = _with(pair, comparison, played.case.id, different_fields)
    yield from pairs.values()


def _with(pair: Pair, comparison: Comparison, case: str, different_fields: tuple[str, ...]) -> Pair:
    """The pair after one more comparison."""
    pair = replace(pair, compared=pair.compared + 1)
    if comparison.declared:
        return replace(pair, verdict=_worse(pair.verdict, PairVerdict.declared), declared_by=different_fields)
    if comparison.ratio is None:
        return pair
    if pair.ratio is None or comparison.ratio > pair.ratio:
        pair = replace(pair, ratio=comparison.ratio, case=case)
    verdict = PairVerdict.differ if comparison.ratio > 1 else PairVerdict.agree
    return replace(pair, verdict=_worse(pair.verdict, verdict))


def _worse(a: PairVerdict, b: PairVerdict) -> PairVerdict:
    return min(a, b, key=PAIR_SEVERITY.index)


def _comparisons(a: PlayedCase, b: PlayedCase) -> Iterator[Comparison]:
    """One for each observable that both gave, of each step that both made."""
    law_channels = np.array([not a.case.is_policy(channel, a.dtype) for channel in range(a.case.shape[1])])
    precision = precision_of(a.dtype)
    steps = zip(a.observation.steps, b.observation.steps, a.expected, b.expected, strict=False)
    for result_a, result_b, expected_a, expected_b in steps:
        given = result_a.values.keys() & result_b.values.keys()
        for name in sorted(given & expected_a.values.keys() & expected_b.values.keys()):  # a set's order is random
            got_a, got_b = result_a.values[name], result_b.values[name]
            truth_a, truth_b = expected_a.values[name], expected_b.values[name]
            if got_a.shape != truth_a.shape or got_b.shape != truth_b.shape:
                continue
            bound = expected_a.bounds[name] + expected_b.bounds[name]
            law = law_channels.reshape(1, -1, *[1] * (truth_a.ndim - 2)) if truth_a.ndim > 1 else law_channels
            with np.errstate(all="ignore"):
                between = np.abs(truth_a - truth_b).astype(np.float64)  # what the conventions alone put between them
                declared = bool((law & (between > bound)).any())
                difference = distance(got_a.astype(truth_a.dtype), got_b.astype(truth_a.dtype))
                proves = conclusive(bound, truth_a, OBSERVABLES[name].unit_roundoff(precision))
                finite = np.isfinite(truth_a.astype(np.float64)) & np.isfinite(truth_b.astype(np.float64))
                counted = law & proves & finite
                ratios = np.where(counted & (difference != 0), difference / (bound + between), 0.0)
            if declared or not counted.any():
                yield Comparison(name, declared, None)
            else:
                worst = ratios.max()
                yield Comparison(name, False, float(np.inf if np.isnan(worst) else worst))
