"""How fast the trainings are: against the tutorial's own loop, in one run, by paired rounds.

A round is one short epoch with its evaluation, by each contestant in turn; the turn is reversed every round. The
baseline runs twice in every round, which is the control: how far it is from itself. Each turn is recorded with the
distance of its cores (`core_distance.py`). What all that says is in `figures.py`.
"""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from harness import place
from harness.bench.figures import AGAIN, BASELINE, RESIDENT, compare
from harness.bench.options import ThroughputOptions
from harness.bench.results import Round, TrainingThroughput
from harness.bench.worker import CORES, MATMUL, WorkerSpec
from harness.errors import UsageError
from harness.targets.guard import GUARD, kill_group
from harness.train.fashion_mnist import FashionMnist
from harness.train.implementations import MODULES, NEEDS
from harness.train.recipe import batch_orders
from reference.lenet import initial_weights

IMAGES, TEST_IMAGES = 6000, 1000  # a tenth of Fashion-MNIST: the share of evaluation in a round is that of an epoch
TIMES_ON_GPU = 4
"""As many more of them there: a GPU is through 6,000 in a hundredth of a second."""
TUTORIAL = "impls.third_party.tutorial_training"
NO_BASELINE = "the baseline is the tutorial's loop: pip install torch torchvision"


@dataclass(frozen=True)
class Contestant:
    """A module with a `train`, and the options that make it this contestant."""

    module: str
    needs: tuple[str, ...]
    """Packages."""
    options: dict[str, bool] = field(default_factory=dict)


CONTESTANTS = {
    BASELINE: Contestant(TUTORIAL, ("torch", "torchvision")),
    AGAIN: Contestant(TUTORIAL, ("torch", "torchvision")),
    "tutorial, native layers": Contestant(TUTORIAL, ("torch", "torchvision"), {"native": True}),
    RESIDENT: Contestant(TUTORIAL, ("torch",), {"resident": True}),
    **{name: Contestant(module, (NEEDS[name],)) for name, module in MODULES.items()},
}
COMPILED = {"torch, compiled": Contestant(MODULES["torch"], ("torch",), {"compiled": True})}


@dataclass(frozen=True)
class Measurement:
    records: tuple[TrainingThroughput, ...]
    rounds: dict[str, tuple[Round, ...]]
    """contestant -> its rounds, the one that warmed up first"""


def measure(
    data: FashionMnist,
    options: ThroughputOptions,
    contestants: dict[str, Contestant] | None = None,
    on_round: Callable[[int, str], None] | None = None,
) -> Measurement:
    """Run those of `contestants`, or of all, that are installed. on_round: called with the round and who runs next.

    Raises UsageError where the baseline cannot run, or a contestant fails.
    """
    if not contestants and (why := what_is_missing()):
        raise UsageError(why)
    runnable = installed(contestants or CONTESTANTS | (COMPILED if options.compiled else {}))
    with ExitStack() as stack:
        path = stack.enter_context(data_file(data, options))

        def start(module: str, device: str, arguments: dict[str, bool] | None = None) -> subprocess.Popen[str]:
            return stack.enter_context(worker(WorkerSpec(module, device, str(path), arguments or {})))

        processes = {
            name: start(place.module(contestant.module), device_of(name, options.device), contestant.options)
            for name, contestant in runnable.items()
        }
        cores = start(CORES, options.device)
        rounds: dict[str, list[Round]] = {name: [] for name in runnable}
        for number in range(options.rounds + 1):  # the first warms up
            for name in runnable if number % 2 else reversed(runnable):
                if on_round:
                    on_round(number, name)
                before = ask(cores, number, CORES)["ns"]
                played = Round(**ask(processes[name], number, name))
                after = ask(cores, number, CORES)["ns"]
                rounds[name].append(replace(played, core_distance_ns=None if before is None else max(before, after)))
        limit = ask(start(MATMUL, options.device), 0, MATMUL)["flops"]
    by_name = {name: tuple(of_name) for name, of_name in rounds.items()}
    return Measurement(compare(by_name, images(IMAGES, data.train_images, options.device), limit), by_name)


def what_is_missing() -> str:
    """Why the tutorial's loop, which the others are compared with, cannot run here; "" where it can."""
    if not all(map(importlib.util.find_spec, CONTESTANTS[BASELINE].needs)):
        return NO_BASELINE
    try:
        multiprocessing.Semaphore()
    except (ImportError, OSError) as error:
        return (
            "the baseline is the tutorial's loop, whose data are read by processes that share memory, and none can be "
            f"shared here ({error}): mount a tmpfs at /dev/shm"
        )
    return ""


def images(number: int, available: np.ndarray, device: str) -> int:
    """How many of the available ones a round uses."""
    return min(number if device == "cpu" else TIMES_ON_GPU * number, len(available))


def installed(contestants: dict[str, Contestant]) -> dict[str, Contestant]:
    """Those whose packages are there. Raises UsageError unless the baseline is among them."""
    runnable = {name: c for name, c in contestants.items() if all(map(importlib.util.find_spec, c.needs))}
    if not {BASELINE, AGAIN} <= runnable.keys():
        raise UsageError(NO_BASELINE)
    return runnable


def device_of(name: str, device: str) -> str:
    return "cpu" if name == "numpy" else device


@contextmanager
def data_file(data: FashionMnist, options: ThroughputOptions) -> Iterator[Path]:
    """What every worker reads: images, labels, initial weights, and the batch orders of all rounds."""
    examples = images(IMAGES, data.train_images, options.device)
    tests = images(TEST_IMAGES, data.test_images, options.device)
    arrays: dict[str, Any] = {f"w:{name}": array for name, array in initial_weights(options.seed).items()}
    arrays |= {"train_images": data.train_images[:examples], "train_labels": data.train_labels[:examples]}
    arrays |= {"test_images": data.test_images[:tests], "test_labels": data.test_labels[:tests]}
    arrays["orders"] = batch_orders(examples, options.rounds + 1, options.seed)
    descriptor, name = tempfile.mkstemp(prefix="bnproof-", suffix=".npz")
    GUARD.watch("file", name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            np.savez(file, **arrays)
        yield Path(name)
    finally:
        Path(name).unlink()
        GUARD.forget("file", name)


@contextmanager
def worker(spec: WorkerSpec) -> Iterator[subprocess.Popen[str]]:
    """A process that plays rounds. What it starts is in its process group, which never outlives this process."""
    command = [sys.executable, "-P", "-m", place.module("harness.bench.worker"), json.dumps(asdict(spec))]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"PYTHONPATH": place.python_path()},
        start_new_session=True,
    ) as process:
        GUARD.watch("process", process.pid)
        try:
            yield process
        finally:
            kill_group(process.pid)
            GUARD.forget("process", process.pid)


def ask(process: subprocess.Popen[str], number: int, name: str) -> dict[str, Any]:
    """A worker's answer to the number of a round, from JSON. Raises UsageError where it has none."""
    assert process.stdin
    assert process.stdout
    process.stdin.write(f"{number}\n")
    process.stdin.flush()
    line = process.stdout.readline()
    answer = json.loads(line) if line else {"error": f"the process died with status {process.wait()}"}
    if "error" in answer:
        raise UsageError(f"{name}: {answer['error']}")
    return answer
