"""A contestant of `throughput.py` in a process of its own: nothing of one framework runs beside another's figures.

Started as `python -m harness.bench.worker SPEC`. It answers every line on stdin, the number of a round, with a line of
JSON on stdout. Threads and memory are its own, so its peak memory and CPU time are the contestant's.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from types import SimpleNamespace
from typing import Any

import numpy as np

from harness.bench.copying import copy_rate
from harness.bench.core_distance import core_distance
from harness.bench.matmul import matmul_rate
from harness.bench.results import Round
from harness.train.implementations import trained
from harness.train.recipe import BATCH_SIZE, LEARNING_RATE
from reference.conventions import TrainingSettings

MATMUL, COPYING, CORES = "matmul", "copying", "cores"
"""Instruments, that may stand in the place of a module."""


@dataclass(frozen=True)
class WorkerSpec:
    """What the parent asks for, as JSON in the worker's argument."""

    module: str
    """The full name of a module with a `train`, or an instrument."""
    device: str
    data: str
    """Path of the .npz file with images, labels, initial weights and batch orders."""
    options: dict[str, bool] = field(default_factory=dict)
    """Further arguments of `train`."""


def main() -> None:
    spec = WorkerSpec(**json.loads(sys.argv[1]))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a framework prints must not be taken for an answer
    answer_to = answerer(spec)
    for line in sys.stdin:
        try:
            answer = answer_to(int(line))
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def answerer(spec: WorkerSpec) -> Callable[[int], dict[str, Any]]:
    """What answers the number of a round: a contestant, or an instrument."""
    if spec.module == MATMUL:
        return lambda _: {"flops": matmul_rate(spec.device)}
    if spec.module == COPYING:
        return lambda _: {"bytes": copy_rate()}
    if spec.module == CORES:
        return lambda _: {"ns": core_distance()}
    trainer = RoundTrainer(spec)
    return lambda number: asdict(trainer.train_round(number))


class RoundTrainer:
    """Trains one epoch of a small data set a round, each from the same start."""

    def __init__(self, spec: WorkerSpec) -> None:
        with np.load(spec.data) as arrays:
            self.orders = arrays["orders"]  # (rounds + 1, n)
            self.weights = {name[2:]: arrays[name] for name in arrays if name.startswith("w:")}
            self.data = SimpleNamespace(
                **{name: arrays[name] for name in arrays if name.startswith(("train_", "test_"))}
            )
        self.train = importlib.import_module(spec.module).train
        self.options, self.device = spec.options, spec.device

    def train_round(self, number: int) -> Round:
        """The record of the epoch, with the CPU and wall time of the whole call, set-up included."""
        started, cpu = perf_counter(), cpu_seconds()
        returned = self.train(
            self.data,
            self.weights,
            self.orders[number : number + 1],
            TrainingSettings(LEARNING_RATE, BATCH_SIZE, device=self.device),
            **self.options,
        )
        wall, cpu = perf_counter() - started, cpu_seconds() - cpu
        training = trained(returned)
        (epoch,) = training.history
        return Round(
            **asdict(epoch),
            call_seconds=wall,
            cpu_seconds=cpu,
            compile_seconds=training.compile_seconds,
            device=training.device,
            how=training.step,
            threads=threads(),
            memory_mb=peak_memory_mb(),
        )


def cpu_seconds() -> float:
    """Of this process and of its children that have ended: a DataLoader's workers end with it."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def peak_memory_mb() -> float:
    """The largest resident size of this process so far, the framework itself included."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:  # not Linux
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
    # Not ru_maxrss: a child begins with its parent's, and keeps it through exec.
    (kib,) = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(kib) * 1024 / 1e6


def threads() -> int:
    torch = sys.modules.get("torch")
    return torch.get_num_threads() if torch else len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0


if __name__ == "__main__":
    main()
