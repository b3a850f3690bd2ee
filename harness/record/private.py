"""Words without this machine's folders: a ledger is passed on, and where somebody's home is belongs to nobody.

What a target says may quote its own path: an exception's message, a warning that it prints, a traceback.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

from harness.place import ROOT

WORDS = ("message", "error", "text", "reason", "output", "title", "details", "not_judged")
"""The fields of records that hold what somebody else said. Names of targets stay as they were given."""
PACKAGES = re.compile(r"(?:[A-Za-z]:)?[\\/](?:[^\s\\/:'\"<>|]+[\\/])*(?=(?:site|dist)-packages[\\/])")
"""What stands before site-packages in a path."""


def without_places(record: Any) -> Any:
    """A record for JSON, the folders of this machine taken out of its words."""
    if isinstance(record, dict):
        return {name: cleared(value) if name in WORDS else without_places(value) for name, value in record.items()}
    return [without_places(each) for each in record] if isinstance(record, list) else record


def cleared(value: Any) -> Any:
    """Words, or a list of them; anything else as `without_places` has it."""
    if isinstance(value, list):
        return [cleared(each) for each in value]
    return without_folders(value) if isinstance(value, str) else without_places(value)


def without_folders(text: str) -> str:
    """ "/home/me/env/lib/python3.12/site-packages/x.py" -> "site-packages/x.py"; likewise what lies in the checkout, in
    Python's own library, in the folder for temporary files and at home."""
    if "/" not in text and "\\" not in text:
        return text
    text = PACKAGES.sub("", text)
    for folder, instead in folders():
        text = re.sub(rf"{re.escape(folder)}(?=[\\/]|\b(?![\w.-]))[\\/]?", lambda _, word=instead: word, text)  # type: ignore[misc]
    return text


@lru_cache(1)
def folders() -> tuple[tuple[str, str], ...]:
    """(a folder of this machine, what stands in its place), the longest first."""
    library = Path(os.__file__).parent
    known = {
        str(ROOT): "",
        str(library): f"{library.name}/",
        sys.prefix: "",
        tempfile.gettempdir(): "tmp/",
        str(Path.home()): "~/",
    }
    real = {os.path.realpath(folder): word for folder, word in known.items()} | known
    kept = ((folder, word) for folder, word in real.items() if len(Path(folder).parts) > 1)
    return tuple(sorted(kept, key=lambda pair: -len(pair[0])))
