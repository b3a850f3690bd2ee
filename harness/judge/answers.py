"""What came of the arrays that were given lately: targets that differ in one place are mostly the same elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.cases.case import Case
from harness.judge.judgement import Judgement

KEPT_ANSWERS = 3
"""How many arrays are kept for one observable of a step, with their judgements."""
SMALL = 4096
"""Elements of an array that is kept."""


@dataclass(frozen=True)
class Answer:
    """An array that was given, by its content."""

    case: Case
    where: tuple[object, ...]
    """In which place of the case, and as which dtype."""
    content: bytes

    def is_as(self, other: Answer) -> bool:
        """To the bit: 0 is another answer than -0, and may be judged by itself."""
        return self.content == other.content and self.case is other.case and self.where == other.where


def answer(case: Case, where: tuple[object, ...], got: np.ndarray) -> Answer | None:
    """None for a large array."""
    return Answer(case, (*where, got.dtype), got.tobytes()) if got.size <= SMALL else None


class LatestAnswers:
    """Those to one step, by observable, with the judgements of each. All are of the shape that is wanted."""

    def __init__(self) -> None:
        self._of: dict[str, tuple[tuple[Answer, tuple[Judgement, ...]], ...]] = {}

    def judged(self, observable: str, given: Answer | None) -> tuple[Judgement, ...] | None:
        """What came of the same answer; None where it is not among the latest."""
        if given is None:
            return None
        return next((judged for earlier, judged in self._of.get(observable, ()) if given.is_as(earlier)), None)

    def keep(self, observable: str, given: Answer | None, judged: tuple[Judgement, ...]) -> None:
        if given is not None:
            self._of[observable] = ((given, judged), *self._of.get(observable, ())[: KEPT_ANSWERS - 1])
