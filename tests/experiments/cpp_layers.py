"""How fast the C++ kernels are against torch.nn: `python -m tests.experiments.cpp_layers --out FILE.md`.

Paired rounds as in `bnproof bench`: ours, torch.nn, and ours again as the control, the order reversed every round; a
ratio is the median over the rounds of native's time / ours. Two clocks: time that passes, and processor time, of which
other programs on the machine take no part. With one thread that is the calling thread's own, in which PyTorch computes
forward and backward; with several only the first clock says something, since waiting threads spin.
"""

from __future__ import annotations

import argparse
import platform
import statistics
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, thread_time
from typing import Any

import torch
from torch import nn

from impls.pytorch.cpp_layer import CppBatchNorm

SHAPES = (
    (256, 120),
    (256, 16, 8, 8),
    (256, 6, 24, 24),
    (8, 512, 7, 7),
    (32, 256, 14, 14),
    (64, 64, 56, 56),
    (128, 3, 224, 224),
    (64, 64, 112, 112),
)
WATCHED = ((64, 64, 56, 56), (64, 64, 112, 112))
"""Whose bandwidth is compared with that of a copy."""
FORMATS = {"first": torch.contiguous_format, "last": torch.channels_last}
SECONDS = 0.02
"""Of calls in a round, at least one call."""
OURS, NATIVE, AGAIN, COPY = "ours", "native", "ours again", "copy"
MODES = ("training", "training, forward", "prediction, forward")

Step = Callable[[], Any]
Clocks = tuple[float, float]


def steps_of(layer: nn.Module, x: torch.Tensor, dy: torch.Tensor, mode: str) -> Step:
    layer.train(mode.startswith("training"))
    if mode != "training":
        inference = x.detach()
        return lambda: layer(inference)
    inputs = [x, *layer.parameters()]
    return lambda: torch.autograd.grad(layer(x), inputs, dy)


def timed(steps: dict[str, Step], rounds: int) -> dict[str, list[Clocks]]:
    """Seconds a call, round by round, by both clocks."""
    calls = {}
    for name, step in steps.items():
        step()
        started = perf_counter()
        step()
        calls[name] = max(1, round(SECONDS / (perf_counter() - started)))
    seconds: dict[str, list[Clocks]] = {name: [] for name in steps}
    for number in range(rounds):
        for name in steps if number % 2 else reversed(steps):
            started = perf_counter(), thread_time()
            for _ in range(calls[name]):
                steps[name]()
            ended = perf_counter(), thread_time()
            seconds[name].append(((ended[0] - started[0]) / calls[name], (ended[1] - started[1]) / calls[name]))
    return seconds


def ratios(above: list[Clocks], below: list[Clocks], clock: int) -> list[float]:
    return sorted(a[clock] / b[clock] for a, b in zip(above, below, strict=True))


def row(shape: tuple[int, ...], memory: str, dtype: torch.dtype, mode: str, rounds: int) -> str:
    x, dy = (torch.randn(shape).to(dtype) for _ in range(2))
    if len(shape) == 4:
        x, dy = (each.contiguous(memory_format=FORMATS[memory]) for each in (x, dy))
    x.requires_grad_()
    native = (nn.BatchNorm2d if len(shape) == 4 else nn.BatchNorm1d)(shape[1])
    ours = CppBatchNorm(shape[1])
    if mode != "training":
        for layer in (ours, native):
            layer.requires_grad_(False)
    steps = {OURS: steps_of(ours, x, dy, mode), NATIVE: steps_of(native, x, dy, mode)}
    target = torch.empty_like(x)
    extra = {AGAIN: steps[OURS]} | ({COPY: lambda: target.copy_(x.detach())} if shape in WATCHED else {})
    seconds = timed(steps | extra, rounds)
    clock = 1 if torch.get_num_threads() == 1 else 0
    found = ratios(seconds[NATIVE], seconds[OURS], clock)
    control = ratios(seconds[AGAIN], seconds[OURS], clock)
    passed = statistics.median(ratios(seconds[NATIVE], seconds[OURS], 0))
    share = ""
    if shape in WATCHED:
        arrays = 5 if mode == "training" else 2  # x and y; x, dy and dx: each once
        share = f"{statistics.median(ratios(seconds[COPY], seconds[OURS], clock)) * arrays / 2:.0%}"
    cells = [
        str(shape),
        memory if len(shape) == 4 else "-",
        str(dtype).removeprefix("torch."),
        mode,
        str(torch.get_num_threads()),
        f"**{statistics.median(found):.2f}**",
        quartiles(found),
        quartiles(control),
        f"{passed:.2f}",
        f"{min(each[clock] for each in seconds[OURS]) * 1e3:.3f}",
        f"{min(each[clock] for each in seconds[NATIVE]) * 1e3:.3f}",
        share,
    ]
    return f"| {' | '.join(cells)} |"


def quartiles(values: list[float]) -> str:
    quarter = len(values) // 4
    return f"{values[quarter]:.2f} to {values[-1 - quarter]:.2f}"


HEAD = """# The C++ kernels against torch.nn

Made by `python -m tests.experiments.cpp_layers`: {rounds} paired rounds on {machine}, torch {torch}.

Ratio: torch.nn's time / ours, the median of the rounds and its quartiles; control: ours against ours, quartiles. With
one thread the ratio is of processor time, with two of time that passes; the column "passed" has the latter for both.
Where the control is far from 1, other programs had the processors. Milliseconds are the best round's. Bandwidth: the
bytes that must be moved (forward x and y, backward x, dy and dx, each once) a second, as a share of those of a copy of
x into memory that is there already. With large x most of the time is the first write to each page of y and dx, which
both layers pay, ours less, since it asks for many pages at a time: THP_MEM_ALLOC_ENABLE=1, PyTorch's own switch, takes
them in huge pages.

Threads spin while they wait for each other. Where other programs have the processors, ratios of two threads are of
that alone, up to hundreds; such rows are left out.

What a call in training keeps for backward: x, gamma, and mean and variance, 2C numbers; `tests/test_cpp.py` holds it to
that.

"""
COLUMNS = (
    "shape", "memory", "dtype", "mode", "threads", "ratio", "quartiles", "control", "passed", "ours ms", "native ms",
    "of copy's bandwidth",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--modes", nargs="+", default=list(MODES), choices=MODES)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    rows: dict[tuple[str, int], list[str]] = {}
    for threads in options.threads:
        torch.set_num_threads(threads)
        for mode in options.modes:
            of_mode = rows.setdefault((mode, threads), [])
            for shape in SHAPES:
                for memory in FORMATS if len(shape) == 4 else ("first",):
                    for dtype in (torch.float32, torch.bfloat16):
                        of_mode.append(row(shape, memory, dtype, mode, options.rounds))
                        print(of_mode[-1], flush=True)
                        options.out.write_text(page(rows, options.rounds))


def page(rows: dict[tuple[str, int], list[str]], rounds: int) -> str:
    lines = []
    for (mode, threads), of_mode in rows.items():
        values = [float(each.split("**")[1]) for each in of_mode]
        lines.append(
            f"* {mode}, {threads} thread{'s' * (threads > 1)}: geometric mean {statistics.geometric_mean(values):.2f}, "
            f"least {min(values):.2f}, {sum(value < 1 for value in values)} of {len(values)} below 1"
        )
    table = [
        f"| {' | '.join(COLUMNS)} |",
        "|" + "---|" * len(COLUMNS),
        *(each for some in rows.values() for each in some),
    ]
    return (
        HEAD.format(rounds=rounds, machine=machine(), torch=torch.__version__) + "\n".join([*lines, "", *table]) + "\n"
    )


def machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(": ")[1] for line in lines if line.startswith("model name")]
    return f"{len(names)} cores of {names[0]}" if names else platform.processor()


if __name__ == "__main__":
    main()
