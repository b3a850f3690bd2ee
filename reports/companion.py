"""What a page shows beside its ledger, brought by whoever renders it: what cases are, scripts that show failures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from harness.record.kinds import ComparisonRecord
from harness.record.read import Records

LONGEST = 7000
"""Characters of a script that a page holds; for a longer one it has the command."""


@dataclass(frozen=True)
class CaseText:
    """What a case is, in words."""

    id: str
    why: str
    source: str
    """The reports that it goes back to, or where else it comes from."""
    shape: tuple[int, ...]
    script: tuple[str, ...]
    """The calls that are made, in order."""
    eps: float
    separates: tuple[str, ...]
    """The ids of the mistakes that it shows."""


def no_script(_: ComparisonRecord) -> str:
    return ""


@dataclass(frozen=True)
class Companion:
    cases: dict[str, CaseText] = field(default_factory=dict)
    script: Callable[[ComparisonRecord], str] = no_script
    """A script that shows a failure without bnproof; "" where none can be made."""


OfRecords = Callable[[Records], Companion]


def nothing(_: Records) -> Companion:
    return Companion()
