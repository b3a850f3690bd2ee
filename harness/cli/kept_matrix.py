"""What a matrix that goes on need not do again: the folder of --resume says which ledger is its own, and of what.

A whole ledger is the end of it. Of one that was broken off the records of each target are taken as they are; what its
pairs need besides is made of the answers that are kept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.jobs.identity import digest_of_sources
from harness.record.ledger import plain
from harness.record.read import read

MARK = "matrix.json"
OF_A_TARGET = ("target", "cell")


@dataclass(frozen=True)
class KeptMatrix:
    """What an earlier run of the same matrix has written."""

    is_whole: bool = False
    targets: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """The records of each target, its cells included, in order."""
    absent: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The record of each target that could not be installed."""


def identity(header: dict[str, Any], targets: Sequence[str], only_here: bool) -> str:
    """A hash of all that the records hang on: what is asked of which targets, and our own code."""
    asked = {name: value for name, value in header.items() if name != "made"}
    whole = json.dumps(plain([asked, targets, only_here, digest_of_sources()]), sort_keys=True)
    return hashlib.sha256(whole.encode()).hexdigest()


def mark(folder: Path, ledger: Path, of: str) -> None:
    """Say in the folder of --resume that `ledger`, which has begun, is of the run `of`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).write_text(json.dumps({"of": of, "header": first_line(ledger)}), encoding="utf-8")


def kept(folder: Path | None, ledger: Path, of: str) -> KeptMatrix:
    """Nothing where the ledger is another run's, or is damaged."""
    if folder is None:
        return KeptMatrix()
    try:
        marked = json.loads((folder / MARK).read_text(encoding="utf-8"))
        if marked != {"of": of, "header": first_line(ledger)}:
            return KeptMatrix()
        read(ledger, whole=False)  # raises where a record is damaged: as they are they are taken over
        return grouped([*records(ledger)])
    except (OSError, ValueError, KeyError, TypeError, RecursionError, UsageError):
        return KeptMatrix()


def first_line(ledger: Path) -> str:
    with ledger.open(encoding="utf-8") as file:
        return file.readline()


def records(ledger: Path) -> Iterator[dict[str, Any]]:
    """All whole lines but the header."""
    with ledger.open(encoding="utf-8") as file:
        next(file, None)
        for line in file:
            if line.endswith("\n"):
                yield json.loads(line)


def grouped(lines: list[dict[str, Any]]) -> KeptMatrix:
    """The last target counts only where something stands behind it: else some of its cells may be missing. What could
    not be loaded is tried again, unless the matrix was finished.
    """
    is_whole = bool(lines) and lines[-1]["type"] == "footer"
    targets: dict[str, list[dict[str, Any]]] = {}
    absent = {record["target"]: record for record in lines if record["type"] == "not_installed"}
    for record in lines:
        if record["type"] in OF_A_TARGET:
            targets.setdefault(record["target"], []).append(record)
    if lines and lines[-1]["type"] in OF_A_TARGET:
        targets.pop(lines[-1]["target"])
    if not is_whole:
        targets = {name: of_target for name, of_target in targets.items() if not of_target[0]["error"]}
    return KeptMatrix(is_whole, targets, absent)
