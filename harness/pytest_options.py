"""The options of `pytest --pyargs harness`, as a pytest plugin: an installed conftest.py is read too late to add any.

It adds the two options and nothing else: whoever has bnproof installed runs other tests with it as well.
"""

from __future__ import annotations

import pytest

PLUGIN = "bnproof"
"""The name of the entry point."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("bnproof")
    group.addoption("--bn", action="append", default=[], metavar="TARGET", help="a batch norm to check as well")
    group.addoption("--require", default="", metavar="NAMES", help="built-in targets that must be installed")
