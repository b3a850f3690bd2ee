"""Two targets against each other: equal within the sum of their bounds, or different as their conventions declare."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import combinations

import numpy as np

from harness.check import Played, TargetReport
from harness.judge.verdict import AGREE, DIFFER, INCONCLUSIVE, conclusive
from reference.conventions import same_behaviour
from reference.error_bounds import precision_of

DECLARED = "declared"


@dataclass
class Pair:
    """Two targets in one observable and dtype, over all cases that both played."""

    a: str
    b: str
    dtype: str
    observable: str
    verdict: str  # "agree" | "declared" | "differ" | "inconclusive"
    ratio: float | None
    """Greatest |a - b| / (bound of a + bound of b + what their conventions put between them, if that is less)."""
    case: str | None
    compared: int
    declared_by: list[str]

    def as_dict(self) -> dict:
        return asdict(self)


def compare_pairs(reports: list[TargetReport]) -> list[Pair]:
    """Every pair of loaded targets, every observable, every dtype that both were asked for."""
    loaded = [report for report in reports if report.conventions is not None]
    return [pair for a, b in combinations(loaded, 2) for pair in _compare(a, b)]


def _compare(a: TargetReport, b: TargetReport) -> Iterator[Pair]:
    assert a.conventions is not None
    assert b.conventions is not None
    fields = same_behaviour(a.conventions, b.conventions)
    theirs = {(one.case.id, one.dtype): one for one in b.played}
    found: dict[tuple[str, str], Pair] = {}
    for one in a.played:
        other = theirs.get((one.case.id, one.dtype))
        if other is None or one.case.policy == "all":
            continue
        for observable, ratio, declared in _ratios(one, other):
            key = (one.dtype, observable)
            pair = found.setdefault(key, Pair(a.target, b.target, *key, INCONCLUSIVE, None, None, 0, []))
            _add(pair, one.case.id, ratio, declared, fields)
    yield from found.values()


def _add(pair: Pair, case: str, ratio: float | None, declared: bool, fields: list[str]) -> None:
    pair.compared += 1
    if declared:
        pair.declared_by = fields
        if pair.verdict != DIFFER:
            pair.verdict = DECLARED
    elif ratio is not None:
        if pair.ratio is None or ratio > pair.ratio:
            pair.ratio, pair.case = ratio, case
        if ratio > 1:
            pair.verdict = DIFFER
        elif pair.verdict == INCONCLUSIVE:
            pair.verdict = AGREE


def _ratios(a: Played, b: Played) -> Iterator[tuple[str, float | None, bool]]:
    """(observable, ratio or None where nothing is proved, whether the conventions separate the two)."""
    channels = np.array([not a.case.is_policy(c) for c in range(a.case.shape[1])])
    unit = precision_of(a.dtype)
    for mine, other, want_a, want_b in zip(a.seen.steps, b.seen.steps, a.expected, b.expected, strict=False):
        for name in mine.values.keys() & other.values.keys() & want_a.values.keys() & want_b.values.keys():
            got_a, got_b = mine.values[name], other.values[name]
            truth_a, truth_b = want_a.values[name], want_b.values[name]
            if got_a.shape != truth_a.shape or got_b.shape != truth_b.shape:
                continue
            bound = want_a.bounds[name] + want_b.bounds[name]
            law = channels.reshape(1, -1, *[1] * (truth_a.ndim - 2)) if truth_a.ndim > 1 else channels
            with np.errstate(all="ignore"):
                owed = np.abs(truth_a - truth_b).astype(np.float64)  # what the conventions alone put between them
                declared = bool((law & (owed > bound)).any())
                difference = np.abs(got_a.astype(truth_a.dtype) - got_b.astype(truth_a.dtype)).astype(np.float64)
                proves = conclusive(bound, truth_a, unit.io if name in ("y", "dx") else unit.work)
            counted = law & proves & np.isfinite(truth_a.astype(np.float64))
            if declared or not counted.any():
                yield name, None, declared
            else:
                with np.errstate(all="ignore"):
                    ratios = np.where(difference == 0, 0.0, difference / (bound + owed))
                worst = np.where(counted, ratios, 0.0).max()
                yield name, float(np.inf if np.isnan(worst) else worst), False
