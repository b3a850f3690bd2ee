"""Writes a ledger: JSON lines that are only ever appended to: a header, records, a footer that counts them."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import IO, Any

from harness.errors import UsageError
from harness.record.earlier import lock, put_aside
from harness.record.files import cannot_write
from harness.record.private import without_places

SCHEMA = "bnproof/1"


class LedgerError(UsageError):
    """A ledger that cannot be written or read, or is not whole."""


def plain(value: Any) -> Any:
    """`value` for JSON: dataclasses become objects, non-finite numbers the strings "nan", "inf", "-inf", NumPy's
    scalars numbers."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    return value


class Ledger:
    """Writes one ledger. Each record is on disk before the next is made, so that a death loses nothing.

    Records are the dataclasses of `harness.record.kinds`, or objects with their fields. A ledger that stands there
    already is put aside. goes_on: the run goes on from where it was killed, and an unfinished ledger is its own. Raises
    LedgerError where a record cannot be written, or another run writes there.
    """

    def __init__(self, path: Path, header: Any, goes_on: bool = False) -> None:
        self.path = path
        self.goes_on = goes_on
        self.counts: Counter[str] = Counter()
        self._file = self._open()
        self._write({"type": "header", "schema": SCHEMA} | plain(header))

    def add(self, kind: str, record: Any) -> None:
        self.counts[kind] += 1
        self._write({"type": kind} | plain(record))

    def close(self) -> None:
        """Write the footer: from now on the ledger is whole."""
        self._write({"type": "footer", "counts": dict(self.counts)})
        self._let_go()

    def _open(self) -> IO[bytes]:
        from filelock import Timeout

        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = lock(self.path)
            self.aside = put_aside(self.path, self.goes_on)
            return self.path.open("wb", buffering=0)
        except Timeout as error:
            raise LedgerError(f"another run is writing {self.path}: wait for it, or name another folder") from error
        except OSError as error:
            raise LedgerError(cannot_write(self.path, error)) from error

    def _let_go(self) -> None:
        self._file.close()
        if self._lock:
            self._lock.release()

    def _write(self, record: dict[str, Any]) -> None:
        line = json.dumps(without_places(record), allow_nan=False, separators=(",", ":")).encode() + b"\n"
        try:
            while line:  # a nearly full disk takes a part of it
                line = line[self._file.write(line) :]
        except OSError as error:
            self._let_go()
            raise LedgerError(cannot_write(self.path, error)) from error
