"""What a page shows beside its ledger, brought by whoever renders it: what cases are, scripts that show failures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from harness.record.kinds import ComparisonRecord
from harness.record.read import Records

LONGEST = 12_000
"""Characters of a script that stands in the page; a longer one is a file beside it."""


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


@dataclass(frozen=True)
class StandaloneScript:
    """Shows a failure without bnproof."""

    text: str
    arrays: bytes = b""
    """The .npz that it reads, where its arrays are too many to stand in it."""

    @property
    def is_file(self) -> bool:
        """Whether it is too long to stand in the page."""
        return bool(self.arrays) or len(self.text) > LONGEST


def no_script(_: ComparisonRecord, _arrays_file: str) -> StandaloneScript | None:
    return None


@dataclass(frozen=True)
class Companion:
    cases: dict[str, CaseText] = field(default_factory=dict)
    script: Callable[[ComparisonRecord, str], StandaloneScript | None] = no_script
    """(a failure, what its .npz would be called) -> the script; None where none can be made."""


OfRecords = Callable[[Records], Companion]


def nothing(_: Records) -> Companion:
    return Companion()
