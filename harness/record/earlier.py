"""What an earlier run has left is kept, and no two runs write one ledger."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from harness.record.compressed import SUFFIX
from harness.record.files import is_stream

if TYPE_CHECKING:
    from filelock import BaseFileLock

FOLDER = "earlier"
"""Beside a ledger: those of the runs before."""
FOOTER = b'{"type":"footer"'
"""How the last line of a whole ledger begins."""
LONGEST_HEADER = 1_000_000
TAIL = 10_000
"""Bytes in which that line fits."""


def lock(path: Path) -> BaseFileLock | None:
    """Held by the run that writes the ledger `path`; a killed one holds nothing. None for a pipe or a device.

    Raises filelock.Timeout where another run holds it, and OSError.
    """
    from filelock import FileLock

    if is_stream(path):
        return None
    held = FileLock(path.with_name(f".{path.name}.lock"))
    held.acquire(timeout=0)
    return held


def put_aside(path: Path, goes_on: bool) -> list[Path]:
    """Move an earlier ledger, and its compressed twin, into `FOLDER`, under its date. Returns where they are now.

    goes_on: the run goes on from where it was killed, and makes its records again: what it had written of its ledger is
    no earlier run's, and may go. Raises OSError.
    """
    if is_stream(path):
        return []
    moved = []
    for place in (path, path.with_name(path.name + SUFFIX)):
        if place.exists() and place.stat().st_size and not (goes_on and place == path and not is_whole(place)):
            moved.append(free_name(place))
            moved[-1].parent.mkdir(exist_ok=True)
            place.rename(moved[-1])
    return moved


def is_whole(path: Path) -> bool:
    """Whether a ledger ends with its footer."""
    with path.open("rb") as file:
        file.seek(-min(TAIL, path.stat().st_size), os.SEEK_END)
        return file.read().rstrip(b"\n").rpartition(b"\n")[2].startswith(FOOTER)


def date_of(place: Path) -> datetime:
    """When the run was made, as the ledger says in its header; else when the file was written. In UTC."""
    try:
        with place.open("rb") as file:
            return datetime.fromisoformat(json.loads(file.readline(LONGEST_HEADER))["made"]).astimezone(UTC)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):  # compressed, or no ledger
        return datetime.fromtimestamp(place.stat().st_mtime, UTC)


def free_name(place: Path) -> Path:
    """Of ledger.jsonl, made on 2 May 2026: earlier/ledger-20260502T191500Z.jsonl, or with a number."""
    written = date_of(place)
    stem, dot, ending = place.name.partition(".")
    name = f"{stem}-{written:%Y%m%dT%H%M%SZ}"
    names = (f"{name}{f'-{number}' if number else ''}{dot}{ending}" for number in range(10_000))
    folder = place.with_name(FOLDER)
    return next(folder / name for name in names if not (folder / name).exists())
