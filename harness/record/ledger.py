"""Append-only JSON lines: a header, records, a footer that counts them. A ledger without its footer is not whole."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from pathlib import Path
from typing import IO, Any

from harness.errors import UsageError

SCHEMA = "bnproof/1"


class LedgerError(UsageError):
    """A ledger that cannot be written, or is not whole."""


def plain(value: Any) -> Any:
    """`value` for JSON: non-finite numbers become the strings "nan", "inf", "-inf"; NumPy scalars become numbers."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    return value


def number(value: Any) -> float | None:
    """The inverse of `plain` for one number."""
    return None if value is None else float(value)


class Ledger:
    """Writes one ledger. Each record is on disk before the next is made, so that a death loses nothing."""

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        self.path = path
        self.counts: Counter[str] = Counter()
        self._file = open_for_writing(path)
        self._write({"type": "header", "schema": SCHEMA} | header)

    def add(self, kind: str, record: dict[str, Any]) -> None:
        self.counts[kind] += 1
        self._write({"type": kind} | record)

    def close(self, footer: dict[str, Any] | None = None) -> None:
        self._write({"type": "footer", "counts": dict(self.counts)} | (footer or {}))
        self._file.close()

    def _write(self, record: dict[str, Any]) -> None:
        self._file.write(json.dumps(plain(record), allow_nan=False, separators=(",", ":")) + "\n")
        self._file.flush()


def open_for_writing(path: Path) -> IO[str]:
    """Open `path`, making its folder. Raises LedgerError that says what to do."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("w", encoding="utf-8")
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise LedgerError(f"cannot write {path}: {reason}; name another place with --out or --json") from error


def read(path: Path) -> dict[str, list[dict[str, Any]]]:
    """A whole ledger: records by type. Raises LedgerError for a missing header or footer, or a count that is off."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise LedgerError(f"cannot read {path}: {error.strerror}") from error
    records: dict[str, list[dict[str, Any]]] = {}
    for line_number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise LedgerError(f"{path}, line {line_number} is not JSON: the ledger was cut off there") from error
        records.setdefault(record["type"], []).append(record)
    if not records.get("header") or records["header"][0].get("schema") != SCHEMA:
        raise LedgerError(f"{path} has no header of schema {SCHEMA}")
    if not records.get("footer"):
        raise LedgerError(f"{path} has no footer: the run that wrote it did not finish")
    found = {kind: len(rows) for kind, rows in records.items() if kind not in ("header", "footer")}
    if found != records["footer"][0]["counts"]:
        raise LedgerError(f"{path} holds {found}, its footer counts {records['footer'][0]['counts']}")
    return records
