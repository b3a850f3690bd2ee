"""How pytest-xdist, where it is used, deals out the tests: a file to a process, but the long ones test by test."""

from __future__ import annotations

from pathlib import Path

import pytest

SPREAD = ("test_mutants.py", "test_error_bounds.py")
"""Files of many tests that take long and share little."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.pluginmanager.has_plugin("xdist"):
        return
    for item in items:
        if item.path.parent == Path(__file__).parent and item.path.name not in SPREAD:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
