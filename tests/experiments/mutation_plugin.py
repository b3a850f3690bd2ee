"""For the process that tries one mutant: quick tests come first, and nothing is kept from before it was switched on."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import pytest

sys.dont_write_bytecode = False  # mutmut forbids it, and 44,000 lines would be compiled anew for each mutant
STATS = Path("mutmut-stats.json")
"""Where mutmut keeps how long each test took."""
OURS = ("harness", "reference", "tests")
KEPT = ("tests", "tests.conftest", "tests.experiments", __name__)
"""Plugins of pytest, and where they are."""


def pytest_sessionstart() -> None:
    """Modules are imported anew: what collecting the tests made, classes of variants and caches, knew no mutant."""
    for name in list(sys.modules):
        if name.partition(".")[0] in OURS and name not in KEPT:
            del sys.modules[name]


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
