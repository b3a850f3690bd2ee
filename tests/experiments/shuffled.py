"""The quick tests in random order, time and again: none may lean on what another one left.

    python -m tests.experiments.shuffled                       # twenty orders of the quick tests
    python -m tests.experiments.shuffled --runs 1 --seed 7     # one of them again
    pytest -p tests.experiments.shuffled --shuffle 7 tests     # any tests, in the order of that seed

All tests are shuffled together, whatever file they are in, and each run is a process of its own. The exit status is 1
where a test failed in some order; which, and in which, is said.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import subprocess
import sys

import pytest

from harness.place import ROOT
from tests.experiments.coverage_of import QUICK

STARTS_PROCESSES = "not pytorch and not the_command and not no_longer_differs and not only_as_listed"
"""Words of the names of quick tests that take longest: each starts a process, in which no other test was."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--shuffle", type=int, help="run the tests in the random order of this seed")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    seed = config.getoption("--shuffle")
    if seed is not None:
        items.sort(key=lambda item: item.nodeid)
        random.Random(seed).shuffle(items)


def failures(seed: int, tests: list[str]) -> tuple[list[str], str]:
    """(the ids of the tests that failed in the order of this seed, the last line of what pytest wrote)."""
    options = ["-p", "tests.experiments.shuffled", "-p", "no:cacheprovider", "-p", "no:xdist", "-q", "-rf"]
    command = [sys.executable, "-m", "pytest", *options, "--shuffle", str(seed), "-k", STARTS_PROCESSES, *tests]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    summary = (done.stdout.strip() or done.stderr.strip()).rpartition("\n")[2]
    return failed or ([f"pytest ended with {done.returncode}"] if done.returncode else []), summary


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tests", nargs="*", default=[f"tests/test_{name}.py" for name in QUICK])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1, help="that of the first run; the next ones follow")
    options = parser.parse_args()
    unclean = 0
    for seed in range(options.seed, options.seed + options.runs):
        failed, summary = failures(seed, options.tests)
        unclean += bool(failed)
        print(f"order {seed}: {summary}", *failed, sep="\n    ", flush=True)
    print(f"{options.runs - unclean} of {options.runs} orders without a failure")
    return int(unclean > 0)


if __name__ == "__main__":
    sys.exit(main())
