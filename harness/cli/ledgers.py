"""The ledger of a command, and a word about the one that stood there before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.cli.output import err
from harness.record.ledger import Ledger


def open_ledger(path: Path, header: Any, resume: Path | None) -> Ledger:
    """Raises LedgerError where it cannot be written, or another run writes it. resume: the folder of --resume."""
    was_killed = resume is not None and resume.is_dir() and any(resume.iterdir())
    ledger = Ledger(path, header, goes_on=was_killed)
    for kept in ledger.aside:
        err.print(f"kept: the ledger of an earlier run, as {kept}", markup=False, highlight=False, soft_wrap=True)
    return ledger
