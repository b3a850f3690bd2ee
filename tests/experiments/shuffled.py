"""The quick tests in random order, time and again: none may lean on what another one left.

    python -m tests.experiments.shuffled --out SHUFFLED.md     # twenty orders of the quick tests, and a page of them
    python -m tests.experiments.shuffled --runs 1 --seed 7     # one of them again
    pytest -p tests.experiments.shuffled --shuffle 7 tests     # any tests, in the order of that seed

All tests are shuffled together, whatever file they are in, and each run is a process of its own. The exit status is 1
where a test failed in some order; which, and in which, is said.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from harness.place import ROOT
from tests.experiments.commit import commit_of_this_checkout
from tests.experiments.coverage_of import QUICK

STARTS_PROCESSES = "not pytorch and not the_command and not no_longer_differs and not only_as_listed"
"""Words of the names of quick tests that take longest: each starts a process, in which no other test was."""
COUNTED = ("passed", "skipped", "failed", "error")
"""Words of pytest's last line, as in "412 passed, 1 failed in 9.31s"."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--shuffle", type=int, help="run the tests in the random order of this seed")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    seed = config.getoption("--shuffle")
    if seed is not None:
        items.sort(key=lambda item: item.nodeid)
        random.Random(seed).shuffle(items)


@dataclass(frozen=True)
class Order:
    seed: int
    failed: list[str]
    """The tests that failed in it."""
    summary: str
    """The last line of what pytest wrote."""

    def count(self, word: str) -> int:
        found = re.search(rf"(\d+) {word}", self.summary)
        return int(found[1]) if found else 0


def run(seed: int, tests: list[str]) -> Order:
    """The tests in the order of this seed, in a process of its own."""
    options = ["-p", "tests.experiments.shuffled", "-p", "no:cacheprovider", "-p", "no:xdist", "-q", "-rf"]
    command = [sys.executable, "-m", "pytest", *options, "--shuffle", str(seed), "-k", STARTS_PROCESSES, *tests]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    summary = (done.stdout.strip() or done.stderr.strip()).rpartition("\n")[2]
    return Order(seed, failed or ([f"pytest ended with {done.returncode}"] if done.returncode else []), summary)


def page(orders: Sequence[Order], made: str) -> str:
    clean = sum(not order.failed for order in orders)
    rows = []
    for order in orders:
        counts = " | ".join(f"{order.count(word):,}" for word in COUNTED)
        rows.append(f"| {order.seed} | {counts} | {', '.join(order.failed) or '–'} |")
    return f"""# The quick tests in random order

{clean} of {len(orders)} orders without a failure. `python -m tests.experiments.shuffled --out` made this page
{made}. The quick tests are those that `coverage_of --quick` runs,
about reference, judge and diagnosis, but for the few that start a process. All are shuffled together, whatever file
they are in; each order is a process of its own, in one thread. `--runs 1 --seed N` runs one of them again.

| Seed | {" | ".join(word.capitalize() for word in COUNTED)} | Which |
|---:|{"---:|" * len(COUNTED)}---|
{chr(10).join(rows)}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tests", nargs="*", default=[f"tests/test_{name}.py" for name in QUICK])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1, help="that of the first run; the next ones follow")
    parser.add_argument("--out", type=Path, help="the page that is made")
    options = parser.parse_args()
    made = f"on {datetime.now(UTC):%Y-%m-%d}, at {commit_of_this_checkout()}, Python {platform.python_version()}"
    orders = []
    for seed in range(options.seed, options.seed + options.runs):
        orders.append(run(seed, options.tests))
        print(f"order {seed}: {orders[-1].summary}", *orders[-1].failed, sep="\n    ", flush=True)
        if options.out:  # after each, so that those before an end count
            options.out.write_text(page(orders, made), encoding="utf-8")
    unclean = sum(bool(order.failed) for order in orders)
    print(f"{len(orders) - unclean} of {len(orders)} orders without a failure")
    return int(unclean > 0)


if __name__ == "__main__":
    sys.exit(main())
