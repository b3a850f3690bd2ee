"""How pytest-xdist, where it is used, deals out the tests: a file to a process, but the long ones test by test.

What takes long goes first, so that no process is left with it at the end.

And the tests' own processes keep what JAX compiles and what the oracle expects, as the command line does.
"""

from __future__ import annotations

import gc
import os
import sys
from collections import Counter
from collections.abc import Callable, Generator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from harness.targets import compilation_cache

gc.disable()  # until all is imported, which stays
gc.set_threshold(10_000)  # the default looks at everything that is kept for the next test again and again
os.environ.update(compilation_cache.environment())
os.environ.setdefault("BNPROOF_EXPECTED", "keep")  # the workers of a run share what is expected

SPREAD = ("tests/test_error_bounds.py",)
"""Files of many tests that take long and share little."""
OF_MUTANTS = ("tests/test_mutants.py", "tests/test_diagnose.py", "tests/test_nameless.py")
"""Files whose tests have a target as the first of their parameters, and share what is expected of its conventions."""
OF_PAGES = ("tests/test_ledger.py", "tests/test_markdown.py")
"""Files that look at the pages of the committed ledgers, which take seconds to make."""
TRAININGS = ("harness/test_training.py", "harness/test_throughput.py")
FEW_AND_LONG = (
    "harness/test_training.py",
    "tests/test_installed.py",
    "tests/test_pytest_plugin.py",
    "tests/test_resume.py",
    "tests/test_search.py",
    "tests/test_torch_step_kernels.py",
)
"""Files of few tests that take 4 to 30 seconds in all."""


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


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests of one target run in a row: they share its report. With xdist, in the order in which they are dealt out."""
    first: dict[str, int] = {}
    for number, item in enumerate(items):
        first.setdefault(target_of(item.nodeid) or item.nodeid, number)
    items.sort(key=lambda item: first[target_of(item.nodeid) or item.nodeid])
    if hasattr(config, "workerinput"):
        sizes = Counter(group_of(item.nodeid) for item in items)
        items.sort(key=lambda item: (not item.nodeid.startswith(FEW_AND_LONG), -sizes[group_of(item.nodeid)]))


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """The million objects that the imports and the tests themselves are need not be looked through for garbage.

    And JAX has as many devices in every process as after a training: what it compiles, it keeps for that many.
    """
    gc.freeze()
    gc.enable()
    if "jax" in sys.modules:
        from impls.jax_flax.halves import prepare

        prepare()


def group_of(nodeid: str) -> str:
    """Tests of one group share a process, and so what they make once: fixtures of a module, expected values."""
    path, _, _ = nodeid.partition("::")
    target = target_of(nodeid)
    if target:
        return conventions_by_name()[target]
    if path in SPREAD + OF_MUTANTS:
        return nodeid
    if path in OF_PAGES:
        return "pages"
    return "checks" if path.startswith("harness/") and path not in TRAININGS else path


@pytest.fixture(scope="session")
def committed_page(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """The page of a committed ledger, not to be written to: it is made once."""
    from reports.render import render

    return cache(lambda ledger: render(ledger, tmp_path_factory.mktemp("page")))


@pytest.hookimpl(optionalhook=True, wrapper=True)  # there is no such hook without xdist
def pytest_xdist_auto_num_workers() -> Generator[None, int, int]:
    """One process more than there are cores: now and then a test waits for the disk, a browser or a timeout.

    The number that the environment gives stays as it is.
    """
    found = yield
    return found if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ else found + 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """By group. The marks that xdist has for it (3.8) reach no test id of pytest 9.2."""
    from xdist.scheduler import LoadScopeScheduling

    config.option.loadscopereorder = False  # `pytest_collection_modifyitems` has put them in order

    class ByGroup(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    return ByGroup(config, log)
