"""How fast the trainings are: against the tutorial's own loop, in one run, by paired rounds.

A round is one short epoch with its evaluation, by each contestant in turn; the turn is reversed every round. What is
claimed is the median of the ratios within rounds, with quartiles. The baseline runs twice in every round: how far
it is from itself is the control, and a claim that is smaller than the control's spread is INCONCLUSIVE.
Beside each turn stands how far its cores were from each other (`core_distance.py`), and beside the ratio the one of
the rounds in which they were near.
"""

from __future__ import annotations

import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from harness import place
from harness.errors import UsageError
from harness.train.fashion_mnist import FashionMnist
from harness.train.trainings import MODULES, NEEDS, batch_orders

IMAGES, TEST_IMAGES = 6000, 1000  # a tenth of Fashion-MNIST: the share of evaluation in a round is that of an epoch
ROUNDS = 9
TUTORIAL = "impls.third_party.tutorial_training"
BASELINE, AGAIN, RESIDENT = "tutorial", "tutorial again", "tutorial, data resident"
CLOCKS = {"end_to_end": ("seconds", BASELINE), "step": ("step_seconds", RESIDENT)}
"""clock -> (its field in a record, what it is held against)"""
LOSS_TOLERANCE = 1e-3
"""Relative, after two dozen float32 steps: speed counts only with agreement."""
AIMS = {("torch", "end_to_end"): 3.0, ("jax", "end_to_end"): 3.0, ("numpy", "end_to_end"): 1.0} | {
    (name, "step"): 1.5 for name in ("torch", "jax")
}
NEAR = 1.5
"""times the least distance of a run; far is from 1.7 times on, where it was seen"""
FLOP_PER_EXAMPLE = 3 * 2 * (24 * 24 * 6 * 25 + 8 * 8 * 16 * 150 + 256 * 120 + 120 * 84 + 84 * 10) - 2 * 24 * 24 * 6 * 25
"""LeNet's convolutions and dense layers, forward and twice that backward, less the images' gradient: 1.5 million."""


@dataclass(frozen=True)
class Contestant:
    """A module with a `train`, and the options that make it this contestant."""

    module: str
    needs: tuple[str, ...]
    options: dict[str, Any] = field(default_factory=dict)


CONTESTANTS = {
    BASELINE: Contestant(TUTORIAL, ("torch", "torchvision")),
    AGAIN: Contestant(TUTORIAL, ("torch", "torchvision")),
    "tutorial, native layers": Contestant(TUTORIAL, ("torch", "torchvision"), {"native": True}),
    RESIDENT: Contestant(TUTORIAL, ("torch",), {"resident": True}),
    **{name: Contestant(module, (NEEDS[name],)) for name, module in MODULES.items()},
}
COMPILED = {"torch, compiled": Contestant(MODULES["torch"], ("torch",), {"compiled": True})}


def measure(
    data: FashionMnist,
    *,
    rounds: int = ROUNDS,
    device: str = "cpu",
    compiled: bool = False,
    seed: int = 0,
    contestants: dict[str, Contestant] | None = None,
    on_round: Callable[[int, str], None] | None = None,
) -> dict[str, Any]:
    """Run all contestants that are installed; returns {"records": ledger records, "rounds": the raw figures}.

    Raises UsageError where the baseline cannot run. NumPy stays on the CPU whatever the device.
    """
    chosen = contestants or CONTESTANTS | (COMPILED if compiled else {})
    here = {name: one for name, one in chosen.items() if all(map(importlib.util.find_spec, one.needs))}
    missing = [name for name in (BASELINE, AGAIN) if name not in here]
    if missing:
        raise UsageError("the baseline is the tutorial's loop: pip install torch torchvision")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        write_data(folder / "data.npz", data, rounds, seed)
        processes = {
            name: stack.enter_context(worker(one.module, one.options, device_of(name, device), folder / "data.npz"))
            for name, one in here.items()
        }
        cores = stack.enter_context(worker("cores", {}, device, folder / "data.npz"))
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in here}
        for number in range(rounds + 1):  # the first warms up
            names = list(here) if number % 2 else list(reversed(here))
            for name in names:
                if on_round:
                    on_round(number, name)
                before = ask(cores, number, "cores")["ns"]
                answer = ask(processes[name], number, name)
                after = ask(cores, number, "cores")["ns"]
                found[name].append(answer | {"core_distance_ns": before and max(before, after)})
        limit = ask(stack.enter_context(worker("matmul", {}, device, folder / "data.npz")), 0, "matmul")["flops"]
    return {"records": compare(found, min(IMAGES, len(data.train_images)), limit), "rounds": found}


def device_of(name: str, device: str) -> str:
    return "cpu" if name == "numpy" else device


def write_data(path: Path, data: FashionMnist, rounds: int, seed: int) -> None:
    from reference.lenet import initial_weights

    arrays: dict[str, Any] = {f"w:{name}": array for name, array in initial_weights(seed).items()}
    few = min(IMAGES, len(data.train_images))
    arrays |= {"train_images": data.train_images[:few], "train_labels": data.train_labels[:few]}
    arrays |= {"test_images": data.test_images[:TEST_IMAGES], "test_labels": data.test_labels[:TEST_IMAGES]}
    np.savez(path, orders=batch_orders(few, rounds + 1, seed), **arrays)


@contextmanager
def worker(module: str, options: dict[str, Any], device: str, data: Path) -> Iterator[subprocess.Popen]:
    """A process that plays rounds. It ends with its stdin."""
    spec = json.dumps({"module": module, "options": options, "device": device, "data": str(data)})
    path = os.pathsep.join(filter(None, [str(place.ROOT), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", place.module("harness.bench.worker"), spec]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def ask(process: subprocess.Popen, number: int, name: str) -> dict[str, Any]:
    assert process.stdin
    assert process.stdout
    process.stdin.write(f"{number}\n")
    process.stdin.flush()
    line = process.stdout.readline()
    answer = json.loads(line) if line else {"error": f"the process died with status {process.wait()}"}
    if "error" in answer:
        raise UsageError(f"{name}: {answer['error']}")
    return answer


# --- what the figures say ---


def compare(found: dict[str, list[dict[str, Any]]], examples: int, limit: float) -> list[dict[str, Any]]:
    """A record a contestant and clock. The first round warmed up and is left out of all but the losses."""
    near = near_rounds(found)
    records = []
    for clock, (_, against) in CLOCKS.items():
        if against not in found:
            continue
        control = spread(ratios(clock, found[AGAIN], found[BASELINE]))
        for name, rounds in found.items():
            base, aim = found[against], AIMS.get((name.removesuffix(", compiled"), clock))
            record: dict[str, Any] = {"bench": "training", "name": name, "clock": clock, "against": against}
            record["control"] = control
            paired = ratios(clock, rounds, base)
            record |= claim(paired, rounds, base, control, aim)
            record |= resources(rounds, base)
            record |= by_distance(paired, near[name] & near[against], rounds)
            speed = examples / statistics.median(one[CLOCKS[clock][0]] for one in rounds[1:])
            record |= {"examples": examples, "examples_per_second": speed}
            record |= {"limit_share": speed * FLOP_PER_EXAMPLE / limit, "matmul_flops": limit}
            records.append(record)
    return records


def ratios(clock: str, rounds: list[dict[str, Any]], base: list[dict[str, Any]]) -> list[float]:
    """How many times faster than the base, in each round but the first."""
    key = CLOCKS[clock][0]
    return [b[key] / a[key] for a, b in zip(rounds[1:], base[1:], strict=True)]


def claim(
    ratios: list[float],
    rounds: list[dict[str, Any]],
    base: list[dict[str, Any]],
    control: dict[str, float],
    aim: float | None,
) -> dict[str, Any]:
    """The ratio and what can be said of it."""
    ratio = spread(ratios)
    agrees = all(same_loss(a, b) for a, b in zip(rounds, base, strict=True))
    decided = decision(ratio, control) if agrees else "DISAGREES"
    met = None if aim is None or decided in UNDECIDED else ratio["median"] >= aim
    return {"ratio": ratio, "decision": decided, "aim": aim, "met": met}


def resources(rounds: list[dict[str, Any]], base: list[dict[str, Any]]) -> dict[str, Any]:
    """What it took, and where it ran."""
    cpu = [b["cpu_seconds"] / a["cpu_seconds"] for a, b in zip(rounds[1:], base[1:], strict=True)]
    last = rounds[-1]
    kept = {key: last[key] for key in ("memory_mb", "threads", "device", "how")}
    kept |= {"cpu_ratio": statistics.median(cpu), "compile_seconds": rounds[0]["compile_seconds"]}
    return kept | {"rounds": len(rounds) - 1}


def by_distance(ratios: list[float], near: set[int], rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """The ratio of the rounds with near cores alone; the distances of all. None where there is nothing to say."""
    chosen = [ratio for number, ratio in enumerate(ratios, start=1) if number in near]
    distances = [one["core_distance_ns"] for one in rounds[1:]]
    return {
        "ratio_near": spread(chosen) if chosen else None,
        "rounds_near": len(chosen),
        "core_distance_ns": None if None in distances else spread(distances),
    }


def near_rounds(found: dict[str, list[dict[str, Any]]]) -> dict[str, set[int]]:
    """The rounds in which a contestant's cores were about as near as they ever were in this run."""
    distances = {name: [one["core_distance_ns"] for one in rounds] for name, rounds in found.items()}
    known = [ns for row in distances.values() for ns in row if ns is not None]
    least = min(known, default=0.0)
    return {
        name: {number for number, ns in enumerate(row) if ns is not None and ns <= NEAR * least}
        for name, row in distances.items()
    }


UNDECIDED = ("INCONCLUSIVE", "DISAGREES")


def spread(values: list[float]) -> dict[str, float]:
    """Median and quartiles."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return {"median": middle, "low": low, "high": high}


def decision(ratio: dict[str, float], control: dict[str, float]) -> str:
    """ "faster", "slower", or INCONCLUSIVE where the claim is within what the baseline differs from itself."""
    noise = max(control["high"], 1 / control["low"])
    size = max(ratio["median"], 1 / ratio["median"])
    if size <= noise or ratio["low"] <= 1 <= ratio["high"]:
        return "INCONCLUSIVE"
    return "faster" if ratio["median"] > 1 else "slower"


def same_loss(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return abs(a["loss"] - b["loss"]) <= LOSS_TOLERANCE * abs(b["loss"])
