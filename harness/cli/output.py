"""Exit statuses, and the files that commands write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

AGREED, FAULTY, USAGE, DIED, NOTHING_JUDGED = 0, 1, 2, 3, 4


def write_json(path: Path | None, content: dict[str, Any]) -> None:
    """One JSON object. Raises UsageError where the file cannot be written."""
    if path is None:
        return
    from harness.record.files import write_whole
    from harness.record.ledger import plain

    write_whole(path, json.dumps(plain(content), allow_nan=False, indent=1) + "\n")
