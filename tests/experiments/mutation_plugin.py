"""For the process that tries one mutant: quick tests come first, and nothing is kept from before it was switched on."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import pytest

STATS = Path("mutmut-stats.json")
"""Where mutmut keeps how long each test took."""
OURS = ("harness", "reference", "tests")


def pytest_sessionstart() -> None:
    """What collecting the tests has cached was computed without the mutant."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in OURS:
            for value in list(vars(module).values()):
                if callable(clear := getattr(value, "cache_clear", None)):
                    clear()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """File by file, since tests of a file share fixtures; the first that fails ends the run."""
    if not STATS.exists():
        return
    seconds: dict[str, float] = json.loads(STATS.read_text())["duration_by_test"]
    of_file: Counter[Path] = Counter()
    for item in items:
        of_file[item.path] += seconds.get(item.nodeid, 0.0)  # type: ignore[assignment]
    items.sort(key=lambda item: (of_file[item.path], str(item.path), seconds.get(item.nodeid, 0.0)))
