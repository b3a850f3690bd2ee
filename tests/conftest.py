"""How pytest-xdist, where it is used, deals out the tests: a file to a process, but the long ones test by test.

And JAX in the tests' own processes keeps what it compiles, as it does in the targets' processes.
"""

from __future__ import annotations

import os
from typing import Any

import pytest

from harness.targets import compilation_cache

os.environ.update(compilation_cache.environment())

SPREAD = ("tests/test_error_bounds.py",)
"""Files of many tests that take long and share little."""
OF_MUTANTS = ("tests/test_mutants.py", "tests/test_diagnose.py")
"""Files whose tests have a mutant as the first of their parameters, and share its report."""
TRAININGS = ("harness/test_training.py", "harness/test_throughput.py")


def group_of(nodeid: str) -> str:
    """Tests of one group share a process, and so what they make once: fixtures of a module, the reports of a target."""
    path, _, test = nodeid.partition("::")
    mutant = test.partition("[")[2].strip("]").partition("-")[0]
    if path in OF_MUTANTS and mutant:
        return mutant
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
