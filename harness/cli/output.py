"""Exit statuses, and the files that commands write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

AGREED, FAULTY, USAGE, DIED, NOTHING_JUDGED = 0, 1, 2, 3, 4


def write_json(path: Path | None, content: dict[str, Any]) -> None:
    """One JSON object. Raises LedgerError where the file cannot be written."""
    if path is None:
        return
    from harness.record.ledger import open_for_writing, plain

    with open_for_writing(path) as file:
        json.dump(plain(content), file, allow_nan=False, indent=1)
        file.write("\n")
