"""The options of the checks as pytest tests. An installed conftest.py is read too late to add any, so this is a plugin.

Whoever has bnproof installed runs other tests with pytest as well. So the plugin adds its options only to a run that
names bnproof's tests, and imports nothing of a target: no other run can tell that it is there.
"""

from __future__ import annotations

import os

import pytest

from harness.place import ROOT, module

GROUP = "bnproof"
TESTS = module("harness")
"""What `--pyargs` calls the tests: "bnproof.harness" once installed."""


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(parser: pytest.Parser, args: list[str]) -> None:
    if any(names_our_tests(arg) for arg in args):
        os.environ.setdefault("BNPROOF_EXPECTED", "keep")  # see harness.judge.kept_expected
        add_options(parser)


def names_our_tests(arg: str) -> bool:
    place = arg.partition("::")[0]
    return place == TESTS or place.startswith((f"{TESTS}.", f"{ROOT / 'harness'}"))


def add_options(parser: pytest.Parser) -> None:
    """Add the options, unless that is done."""
    group = parser.getgroup(GROUP, "checks of batch norms")
    if group.options:
        return
    group.addoption(
        "--bn",
        action="append",
        default=[],
        metavar="TARGET",
        help="check this batch norm (a name, module:attr or file.py:attr; may be repeated) instead of our own",
    )
    group.addoption("--builtin", action="store_true", help="with --bn: check the built-in targets as well")
    group.addoption(
        "--require",
        default="",
        metavar="NAMES",
        help="check these built-in targets as well (torch,flax); one that is not installed is an error",
    )
    group.addoption("--suite", choices=("quick", "full"), default="full", help="quick answers in seconds")
    group.addoption("--as", metavar="PRESET", help="judge the targets of --bn by this preset's conventions")
    group.addoption("--layer", default="", metavar="PATH", help="where in the targets of --bn, models, the layer is")
    group.addoption("--known", metavar="FILE", help="known differences: lines 'case: reason'. Strict.")
