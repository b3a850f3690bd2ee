"""A contestant of `throughput.py` in a process of its own: nothing of one framework runs beside another's figures.

Started as `python -m harness.bench.worker SPEC`. It answers every line on stdin, the number of a round, with a line on
stdout. Threads and memory are its own, so its peak memory and CPU time are the contestant's.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from types import SimpleNamespace
from typing import Any

import numpy as np

from harness.bench.core_distance import core_distance
from harness.train.trainings import BATCH_SIZE, LEARNING_RATE

MATMUL = 2048
MATMUL_TRIES = 8


def main() -> None:
    spec = json.loads(sys.argv[1])
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


def answerer(spec: dict[str, Any]) -> Callable[[int], dict[str, Any]]:
    """What answers the number of a round: a contestant, or one of the two instruments."""
    if spec["module"] == "matmul":
        return lambda _: {"flops": matmul_rate(spec["device"])}
    if spec["module"] == "cores":
        return lambda _: {"ns": core_distance()}
    return Contestant(spec).round


class Contestant:
    """One way of training, one epoch of a small data set at a time, each from the same start."""

    def __init__(self, spec: dict[str, Any]) -> None:
        with np.load(spec["data"]) as arrays:
            self.orders = arrays["orders"]  # (rounds + 1, n)
            self.weights = {name[2:]: arrays[name] for name in arrays if name.startswith("w:")}
            self.data = SimpleNamespace(
                **{name: arrays[name] for name in arrays if name.startswith(("train_", "test_"))}
            )
        self.train = importlib.import_module(spec["module"]).train
        self.options = spec["options"]
        self.device = spec["device"]

    def round(self, number: int) -> dict[str, Any]:
        """The record of an epoch, with the CPU and wall time of the whole call, set-up included."""
        started, cpu = perf_counter(), cpu_seconds()
        result = self.train(
            self.data,
            self.weights,
            self.orders[number : number + 1],
            learning_rate=LEARNING_RATE,
            batch_size=BATCH_SIZE,
            device=self.device,
            **self.options,
        )
        wall, cpu = perf_counter() - started, cpu_seconds() - cpu
        return result["history"][0] | {
            "call_seconds": wall,
            "cpu_seconds": cpu,
            "compile_seconds": result["compile_seconds"],
            "device": result["device"],
            "how": result["step"],
            "threads": threads(),
            "memory_mb": peak_memory_mb(),
        }


def cpu_seconds() -> float:
    """Of this process and of its children that have ended: a DataLoader's workers end with it."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


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


def matmul_rate(device: str) -> float:
    """FLOP/s of a large float32 matrix product: the limit of a training's arithmetic. The best of several."""
    if device == "cuda":
        import torch

        from impls.pytorch.training import full_precision

        a = torch.rand(MATMUL, MATMUL, device="cuda")

        def product() -> None:
            with full_precision():
                a @ a
                torch.cuda.synchronize()

    else:
        b = np.random.default_rng(0).random((MATMUL, MATMUL), np.float32)

        def product() -> None:
            b @ b

    product()
    seconds = []
    for _ in range(MATMUL_TRIES):
        started = perf_counter()
        product()
        seconds.append(perf_counter() - started)
    return 2 * MATMUL**3 / min(seconds)


if __name__ == "__main__":
    main()
