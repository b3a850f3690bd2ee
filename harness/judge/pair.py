"""Two targets in one observable, and what that amounts to."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class PairVerdict(StrEnum):
    differ = "differ"
    declared = "declared"
    """They differ, and their conventions say that they would."""
    agree = "agree"
    inconclusive = "inconclusive"


PAIR_SEVERITY = tuple(PairVerdict)
"""Every verdict on a pair, the worst first."""


@dataclass(frozen=True)
class Pair:
    """Two targets in one observable and dtype, over all cases that both played."""

    a: str
    b: str
    dtype: str
    observable: str
    verdict: PairVerdict = PairVerdict.inconclusive
    ratio: float | None = None
    """Greatest |a - b| / (bound of a + bound of b + what their conventions put between them, if that is less)."""
    case: str | None = None
    """The case that shows it."""
    compared: int = 0
    """In how many steps of cases the two were compared."""
    declared_by: tuple[str, ...] = ()
    """The fields of the conventions in which the two differ, where that shows."""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)
