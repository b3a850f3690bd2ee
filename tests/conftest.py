"""How pytest-xdist, where it is used, deals out the tests: a file to a process, but the long ones test by test.

And the tests' own processes keep what JAX compiles and what the oracle expects, as the command line does.
"""

from __future__ import annotations

import gc
import os
from functools import cache
from typing import Any

import pytest

from harness.targets import compilation_cache

gc.set_threshold(10_000)  # the default looks at everything that is kept for the next test again and again
os.environ.update(compilation_cache.environment())
os.environ.setdefault("BNPROOF_EXPECTED", "keep")  # the workers of a run share what is expected

SPREAD = ("tests/test_error_bounds.py",)
"""Files of many tests that take long and share little."""
OF_MUTANTS = ("tests/test_mutants.py", "tests/test_diagnose.py", "tests/test_nameless.py")
"""Files whose tests have a target as the first of their parameters, and share what is expected of its conventions."""
TRAININGS = ("harness/test_training.py", "harness/test_throughput.py")


@cache
def conventions_by_name() -> dict[str, str]:
    """The conventions of each target that is a class of the tests, as a word."""
    from tests.targets import branches, honest, mutants

    targets = (*mutants.SINGLE, *mutants.PAIRS, *honest.HONEST, *branches.BRANCHES)
    return {target.__name__: str(target.conventions) for target in targets}


def target_of(nodeid: str) -> str:
    """The name of the target that a test is about; "" where it is about none, or several."""
    path, _, test = nodeid.partition("::")
    name = test.partition("[")[2].strip("]").partition("-")[0]
    return name if path in OF_MUTANTS and name in conventions_by_name() else ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of one target run in a row: they share its report."""
    first: dict[str, int] = {}
    for number, item in enumerate(items):
        first.setdefault(target_of(item.nodeid) or item.nodeid, number)
    items.sort(key=lambda item: first[target_of(item.nodeid) or item.nodeid])


def group_of(nodeid: str) -> str:
    """Tests of one group share a process, and so what they make once: fixtures of a module, expected values."""
    path, _, _ = nodeid.partition("::")
    target = target_of(nodeid)
    if target:
        return conventions_by_name()[target]
    if path in SPREAD + OF_MUTANTS:
        return nodeid
    return "checks" if path.startswith("harness/") and path not in TRAININGS else path


@pytest.hookimpl(optionalhook=True)  # there is no such hook without xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """By group. The marks that xdist has for it (3.8) reach no test id of pytest 9.2."""
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    return ByGroup(config, log)
