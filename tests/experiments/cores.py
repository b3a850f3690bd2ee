"""What a second core does for a training's step: `python -m tests.experiments.cores --out FILE.md`.

Each implementation trains in two processes, one kept to one core and one that has two, in turn within a round; a ratio
is the median over the rounds of one core's time / two cores'. The first round warms up.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from harness import place
from harness.bench.figures import spread
from harness.bench.options import ThroughputOptions
from harness.bench.throughput import IMAGES, ask, data_file, images, worker
from harness.bench.worker import WorkerSpec
from harness.record.environment import environment
from harness.train.fashion_mnist import load
from harness.train.implementations import MODULES, installed

CORES = (1, 2)


@contextmanager
def kept_to(cores: int) -> Iterator[None]:
    """What is started inside has so many cores, and as many threads."""
    before, variable = os.sched_getaffinity(0), os.environ.get("OMP_NUM_THREADS")
    os.sched_setaffinity(0, sorted(before)[:cores])
    os.environ["OMP_NUM_THREADS"] = str(cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
        os.environ.pop("OMP_NUM_THREADS")
        if variable is not None:
            os.environ["OMP_NUM_THREADS"] = variable


def measure(rounds: int) -> tuple[dict[str, dict[int, list[dict[str, Any]]]], int]:
    """(framework -> cores -> its rounds, examples in a round)."""
    data = load()
    options = ThroughputOptions(rounds)
    with ExitStack() as stack:
        path = str(stack.enter_context(data_file(data, options)))
        processes = {}
        for cores in CORES:
            with kept_to(cores):
                for name in installed():
                    module = place.module(MODULES[name])
                    processes[name, cores] = stack.enter_context(worker(WorkerSpec(module, "cpu", path)))
        found: dict[str, dict[int, list[dict[str, Any]]]] = {
            name: {cores: [] for cores in CORES} for name in installed()
        }
        for number in range(rounds + 1):
            for name, cores in processes if number % 2 else reversed(processes):
                found[name][cores].append(ask(processes[name, cores], number, name))
    return found, images(IMAGES, data.train_images, "cpu")


def page(found: dict[str, dict[int, list[dict[str, Any]]]], examples: int) -> str:
    rounds = len(next(iter(found.values()))[1]) - 1
    lines = [
        "# A second core",
        "",
        f"Made by `python -m tests.experiments.cores` on {environment().processor}: epochs of {examples:,} images,",
        f"{rounds} rounds of a process on one core and one on two, in turn. Ratio: one core's time / two's, median",
        "and quartiles. Distant cores gain less from each other: `bnproof bench training` says how far they are.",
        "",
        "| framework | how a step ran | clock | examples/s, 1 core | 2 cores | ratio |",
        "|---|---|---|---:|---:|---:|",
    ]
    for name, of_cores in found.items():
        for clock, field in (("step", "step_seconds"), ("end to end", "seconds")):
            taken = {cores: [r[field] for r in rounds[1:]] for cores, rounds in of_cores.items()}
            speed = {cores: examples / spread(seconds).median for cores, seconds in taken.items()}
            ratio = spread([one / two for one, two in zip(taken[1], taken[2], strict=True)])
            lines.append(
                f"| {name} | {of_cores[2][-1]['how']} | {clock} | {speed[1]:,.0f} | {speed[2]:,.0f} | "
                f"**{ratio.median:.2f}** ({ratio.low:.2f} to {ratio.high:.2f}) |"
            )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.write_text(page(*measure(options.rounds)), encoding="utf-8")


if __name__ == "__main__":
    main()
