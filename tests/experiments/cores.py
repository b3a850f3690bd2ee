"""What a second core does for a training's step: `python -m tests.experiments.cores --out FILE.md`.

Each implementation trains in two processes, one kept to one core and one that has two, in turn within a round; a ratio
is the median over the rounds of one core's time / two cores'. The first round warms up. Beside each pair stand what a
matrix product and a copy gain from the second core at that moment, each in two processes likewise: no training can be
asked for more than the machine gives.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import Any

from harness import place
from harness.bench.figures import spread
from harness.bench.options import ThroughputOptions
from harness.bench.results import Spread
from harness.bench.throughput import IMAGES, ask, data_file, images, worker
from harness.bench.worker import COPYING, CORES, MATMUL, WorkerSpec
from harness.record.environment import environment
from harness.train.fashion_mnist import load
from harness.train.implementations import MODULES, installed

NUMBERS = (1, 2)  # of cores
CONTROLS = {MATMUL: "flops", COPYING: "bytes"}  # and what each answers: so many a second
CLOCKS = {"step": "step_seconds", "end to end": "seconds"}


@dataclass(frozen=True)
class Pair:
    """One round of a training, on one core and on two."""

    rounds: dict[int, dict[str, Any]]
    """cores -> its record"""
    rates: dict[str, dict[int, float]]
    """control -> cores -> its rate, right before"""
    distance: float | None
    """Of the cores, nanoseconds there and back, the larger one of before and after."""

    def gain(self, field: str) -> float:
        return self.rounds[1][field] / self.rounds[2][field]

    def control(self, name: str) -> float:
        return self.rates[name][2] / self.rates[name][1]


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


def measure(rounds: int) -> tuple[dict[str, list[Pair]], int]:
    """(framework -> its rounds, examples in a round)."""
    data = load()
    options = ThroughputOptions(rounds)
    with ExitStack() as stack:
        path = str(stack.enter_context(data_file(data, options)))
        modules = {name: place.module(MODULES[name]) for name in installed()}
        processes = {}
        for cores in NUMBERS:
            with kept_to(cores):
                for name, module in (modules | {control: control for control in (*CONTROLS, CORES)}).items():
                    processes[name, cores] = stack.enter_context(worker(WorkerSpec(module, "cpu", path)))
        found: dict[str, list[Pair]] = {name: [] for name in modules}
        for number in range(rounds + 1):
            for name in modules if number % 2 else reversed(modules):
                found[name].append(pair(processes, name, number))
    return {name: pairs[1:] for name, pairs in found.items()}, images(IMAGES, data.train_images, "cpu")


def pair(processes: dict[tuple[str, int], Popen[str]], name: str, number: int) -> Pair:
    def asked(whom: str) -> dict[int, dict[str, Any]]:
        order = NUMBERS if number % 2 else reversed(NUMBERS)
        return {cores: ask(processes[whom, cores], number, whom) for cores in order}

    def distance() -> float | None:
        return ask(processes[CORES, 2], number, CORES)["ns"]

    before = distance()
    rates = {who: {cores: answer[field] for cores, answer in asked(who).items()} for who, field in CONTROLS.items()}
    rounds, after = asked(name), distance()
    return Pair(rounds, rates, None if before is None or after is None else max(before, after))


def page(found: dict[str, list[Pair]], examples: int) -> str:
    rounds = len(next(iter(found.values())))
    lines = [
        "# A second core",
        "",
        f"Made by `python -m tests.experiments.cores` on {environment().machine}: epochs of {examples:,} images,",
        f"{rounds} rounds of a process on one core and one on two, in turn. Ratio: one core's time / two's, median",
        "and quartiles. Product, copy: what a matrix product of OpenBLAS (2,048 squared, float32) and a copy of 128",
        "MiB, by a thread on each core, gained from the second core right before: what the machine gives. Of the",
        "product: the training's ratio / the product's, median of the rounds.",
        "",
        "| framework | how a step ran | clock | images/s, 1 core | 2 cores | ratio | product | copy | of the product |",
        "|---|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, pairs in found.items():
        for clock, field in CLOCKS.items():
            speed = {n: examples / spread([p.rounds[n][field] for p in pairs]).median for n in NUMBERS}
            gains = [p.gain(field) for p in pairs]
            controls = [shown(spread([p.control(control) for p in pairs])) for control in CONTROLS]
            share = spread([gain / p.control(MATMUL) for gain, p in zip(gains, pairs, strict=True)])
            lines.append(
                f"| {name} | {pairs[-1].rounds[2]['how']} | {clock} | {speed[1]:,.0f} | {speed[2]:,.0f} | "
                f"**{spread(gains).median:.2f}** ({spread(gains).low:.2f} to {spread(gains).high:.2f}) | "
                f"{' | '.join(controls)} | {share.median:.0%} |"
            )
    return "\n".join([*lines, "", *by_round(found)]) + "\n"


def shown(of: Spread) -> str:
    return f"{of.median:.2f} ({of.low:.2f} to {of.high:.2f})"


def by_round(found: dict[str, list[Pair]]) -> list[str]:
    """A table of what each round's step gained, and how far apart its cores were."""
    heads = ["round"] + [f"{name} | ns | product" for name in found]
    lines = [
        "Each round: the step's ratio; nanoseconds there and back for a cache line, since threads that",
        "share what they write gain less from distant cores; and the product's ratio.",
        "",
        f"| {' | '.join(heads)} |",
        "|" + "---:|" * (1 + 3 * len(found)),
    ]
    for number, pairs in enumerate(zip(*found.values(), strict=True), start=1):
        cells = [f"{p.gain('step_seconds'):.2f} | {apart(p)} | {p.control(MATMUL):.2f}" for p in pairs]
        lines.append(f"| {' | '.join([str(number), *cells])} |")
    return lines


def apart(of: Pair) -> str:
    return "?" if of.distance is None else f"{of.distance:.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.write_text(page(*measure(options.rounds)), encoding="utf-8")


if __name__ == "__main__":
    main()
