"""Two targets beside each other: are their results the same within the sum of their bounds, and if not, which is right?

Unlike a pair (`pairs.py`) nothing is excused: what conventions put between the two is a difference as any.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from harness.judge.judge import conclusive
from harness.judge.report import PlayedCase, TargetReport
from harness.observables import OBSERVABLES, column
from reference.error_bounds import precision_of


@dataclass(frozen=True)
class FurthestApart:
    """Two targets in one observable and dtype, at the place where they are furthest apart in bounds."""

    dtype: str
    column: str
    """The observable as tables head it: "y" in training, "eval y" in prediction."""
    compared: int
    """In how many steps of cases the two were compared."""
    ratio: float
    """|a - b| / (bound of a + bound of b)."""
    apart: float
    """|a - b|"""
    a_off: float
    """|a - the oracle under a's conventions|, in bounds of a."""
    b_off: float
    case: str

    @property
    def same(self) -> bool:
        return self.ratio <= 1

    @property
    def right(self) -> str:
        """Which of the two is within its own bound: "both", "a", "b" or "neither"."""
        return {(True, True): "both", (True, False): "a", (False, True): "b"}.get(
            (self.a_off <= 1, self.b_off <= 1), "neither"
        )

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"right": self.right}


def beside(a: TargetReport, b: TargetReport, ops: tuple[str, ...] = ()) -> list[FurthestApart]:
    """One for each dtype and column that both gave in law channels; of the steps `ops`, or of all."""
    of_b = {(played.case.id, played.dtype): played for played in b.played}
    worst: dict[tuple[str, str], FurthestApart] = {}
    for played in a.played:
        other = of_b.get((played.case.id, played.dtype))
        if other is None or played.case.policy == "all":
            continue
        for step in _compared(played, other, ops):
            key = (step.dtype, step.column)
            earlier = worst.get(key)
            worse = step if earlier is None or step.ratio > earlier.ratio else earlier
            count = step.compared + (earlier.compared if earlier else 0)
            worst[key] = FurthestApart(**asdict(worse) | {"compared": count})
    return list(worst.values())


def _compared(a: PlayedCase, b: PlayedCase, ops: tuple[str, ...]) -> Iterator[FurthestApart]:
    law = np.array([not a.case.is_policy(channel, a.dtype) for channel in range(a.case.shape[1])])
    steps = zip(a.observation.steps, b.observation.steps, a.expected, b.expected, strict=False)
    for of_a, of_b, expected_a, expected_b in steps:
        if ops and of_a.op not in ops:
            continue
        given = of_a.values.keys() & of_b.values.keys() & expected_a.values.keys() & expected_b.values.keys()
        for name in (name for name in OBSERVABLES if name in given):
            if ops and OBSERVABLES[name].moves:
                continue
            got_a, got_b = of_a.values[name], of_b.values[name]
            truth_a, truth_b = expected_a.values[name], expected_b.values[name]
            if not got_a.size or {got_a.shape, got_b.shape, truth_b.shape} != {truth_a.shape}:
                continue
            bound_a, bound_b = expected_a.bounds[name], expected_b.bounds[name]
            with np.errstate(all="ignore"):
                wide_a, wide_b = got_a.astype(truth_a.dtype), got_b.astype(truth_a.dtype)
                apart = distance(wide_a, wide_b)
                ratio = _in_bounds(apart, bound_a + bound_b)
                u = OBSERVABLES[name].unit_roundoff(precision_of(a.dtype))
                counted = conclusive(bound_a + bound_b, truth_a, u) & np.isfinite(truth_a.astype(np.float64))
                counted = counted & (law.reshape(1, -1, *[1] * (truth_a.ndim - 2)) if truth_a.ndim > 1 else law)
                if not counted.any():
                    continue
                place = np.unravel_index(int(np.argmax(np.where(counted, ratio, -1.0))), ratio.shape)
                off_a = _in_bounds(np.abs(wide_a - truth_a).astype(np.float64), bound_a)
                off_b = _in_bounds(np.abs(wide_b - truth_b).astype(np.float64), bound_b)
            yield FurthestApart(
                a.dtype,
                column(name, of_a.op),
                1,
                ratio=float(ratio[place]),
                apart=float(apart[place]),
                a_off=float(off_a[place]),
                b_off=float(off_b[place]),
                case=a.case.id,
            )


def distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """|a - b| as float64; 0 where both are the same infinity, or both NaN."""
    apart: np.ndarray = np.abs(a - b).astype(np.float64)
    if np.isfinite(apart).all():
        return apart
    same = (a == b) | (np.isnan(a.astype(np.float64)) & np.isnan(b.astype(np.float64)))
    return np.where(same, 0.0, apart)


def _in_bounds(difference: np.ndarray, bound: np.ndarray) -> np.ndarray:
    ratio = np.where(difference == 0, 0.0, difference / bound)
    return np.where(np.isnan(ratio), np.inf, ratio)


def sentence(line: FurthestApart, a: str, b: str) -> str:
    """What a reader is told of it."""
    where = f"{line.dtype} {line.column}"
    if line.same:
        return f"{where}: the same; {line.apart:.2g} apart at most, {line.ratio:.2g} of the sum of the bounds"
    right = {
        "both": "each is right under its own conventions",
        "a": f"{a} is right, {b} is {line.b_off:.2g} bounds off",
        "b": f"{b} is right, {a} is {line.a_off:.2g} bounds off",
        "neither": f"{a} is {line.a_off:.2g} bounds off and {b} {line.b_off:.2g}",
    }[line.right]
    return f"{where}: {line.apart:.2g} apart in {line.case}, {line.ratio:.2g} times the sum of the bounds; {right}"
