"""The Triton kernels on a GPU: right to so many digits, and how long they take by the sizes of their tiles.

    python -m tests.experiments.triton_timings [--seconds 120] > timings.json

Times are those of CUDA graphs, in milliseconds, and of eager calls: the median of rounds. Inputs rotate among buffers
of 200 MB in all, so that the GPU's cache does not hold them. Every part is skipped once the seconds are over.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import traceback
from collections.abc import Callable
from time import perf_counter
from typing import Any

import torch
from torch import nn

from impls.pytorch import triton_launch, triton_plan
from impls.pytorch.batch_norm import BatchNorm
from impls.pytorch.triton_plan import Chip

LARGE = ((64, 64, 56, 56), (256, 64, 56, 56))
SHAPES = (*LARGE, (256, 6, 24, 24), (256, 16, 8, 8), (256, 120), (32, 256, 14, 14), (8, 512, 7, 7), (128, 3, 224, 224))
FORMATS = {"first": torch.contiguous_format, "last": torch.channels_last}
MEMORY = 200e6
ROUNDS = 5


def inputs(shape: tuple[int, ...], dtype: torch.dtype, layout: str) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Pairs (x, dy) of enough memory in all."""
    generator = torch.Generator("cuda").manual_seed(0)
    bytes_ = 2 * dtype.itemsize * torch.Size(shape).numel()

    def draw(mean: float, std: float) -> torch.Tensor:
        made = torch.randn(shape, generator=generator, device="cuda") * std + mean
        return made.to(dtype).contiguous(memory_format=FORMATS[layout])

    return [(draw(1, 2).requires_grad_(), draw(0, 1)) for _ in range(max(1, min(20, round(MEMORY / bytes_))))]


def layers(channels: int, rank: int) -> dict[str, nn.Module]:
    plain = BatchNorm(channels)
    plain.kernels = False
    native = nn.BatchNorm1d if rank == 2 else nn.BatchNorm2d
    return {
        name: layer.cuda()
        for name, layer in (("ours", BatchNorm(channels)), ("native", native(channels)), ("plain", plain))
    }


def backward_of(layer: nn.Module, x: torch.Tensor, dy: torch.Tensor) -> tuple[torch.Tensor, ...]:
    y = layer(x)
    return y, *torch.autograd.grad(y, (x, *layer.parameters()), dy)


# --- is it right? ---


def errors(shape: tuple[int, ...], dtype: torch.dtype, layout: str) -> dict[str, list[float]]:
    """Layer -> the largest error of y, dx, dgamma, dbeta over the root mean square, against float64."""
    ((x, dy), *_) = inputs(shape, dtype, layout)
    exact = BatchNorm(shape[1], dtype=torch.float64).cuda()
    exact.kernels = False
    wide = x.detach().double().requires_grad_()
    expected = backward_of(exact, wide, dy.double())
    found = {}
    for name, layer in layers(shape[1], len(shape)).items():
        got = backward_of(layer, x, dy)
        found[name] = [
            ((a.double() - b).abs().max() / b.square().mean().sqrt()).item() for a, b in zip(got, expected, strict=True)
        ]
        for kept, reference in (("moving_mean", exact.moving_mean), ("moving_var", exact.moving_var)):
            if hasattr(layer, kept):
                found[name].append((getattr(layer, kept).double() - reference).abs().max().item())
    return found


# --- how fast is it? ---


def graph_of(call: Callable[[], Any]) -> torch.cuda.CUDAGraph:
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(2):
            call()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph


def milliseconds(run: Callable[[], Any], calls: int) -> float:
    """A call, where `run` makes so many: by events."""
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    run()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / calls


def medians(runs: dict[str, tuple[Callable[[], Any], int]]) -> dict[str, float]:
    """Interleaved rounds of every run, after one that warms up."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(ROUNDS + 1):
        for name, (run, calls) in runs.items():
            time = milliseconds(run, calls)
            if number:
                taken[name].append(time)
    return {name: statistics.median(times) for name, times in taken.items()}


def graphed(layer: nn.Module, pairs: list) -> dict[str, tuple[Callable[[], Any], int]]:
    repeats = max(1, 10 // len(pairs))

    def forward() -> None:
        with torch.no_grad():
            for _ in range(repeats):
                for x, _dy in pairs:
                    layer(x)

    def both() -> None:
        for _ in range(repeats):
            for x, dy in pairs:
                backward_of(layer, x, dy)

    calls = repeats * len(pairs)
    return {"forward": (graph_of(forward).replay, calls), "both": (graph_of(both).replay, calls)}


def graph_times(shape: tuple[int, ...], dtype: torch.dtype, layout: str, names: tuple[str, ...]) -> dict[str, float]:
    pairs = inputs(shape, dtype, layout)
    runs = {}
    for name, layer in layers(shape[1], len(shape)).items():
        if name in names:
            runs |= {f"{name} {way}": run for way, run in graphed(layer, pairs).items()}
            if name == "ours":
                layer.eval()
                runs["ours predict"] = graphed(layer, pairs)["both"]
    if "native" in names:
        copies = [torch.empty_like(x) for x, _ in pairs]

        def copy() -> None:
            for (x, _), into in zip(pairs, copies, strict=True):
                into.copy_(x.detach())

        runs["copy"] = (graph_of(copy).replay, len(pairs))
    return medians(runs)


def eager_times(shape: tuple[int, ...], dtype: torch.dtype, layout: str) -> dict[str, float]:
    """Forward and backward, one after the other, and with a wait after each call: microseconds by the CPU's clock."""
    pairs = inputs(shape, dtype, layout)
    times = {}
    for name, layer in layers(shape[1], len(shape)).items():
        for waits in (False, True):
            rounds = []
            for number in range(ROUNDS + 1):
                torch.cuda.synchronize()
                started = perf_counter()
                for call in range(100):
                    backward_of(layer, *pairs[call % len(pairs)])
                    if waits:
                        torch.cuda.synchronize()
                torch.cuda.synchronize()
                if number:
                    rounds.append((perf_counter() - started) / 100 * 1e6)
            times[f"{name}{', waiting' if waits else ''}"] = statistics.median(rounds)
    return times


CHIPS: dict[str, dict[str, int]] = {
    "as planned": {},
    "kept": {"waves": 100},
    "passed 1024": {"passed": 1024},
    "passed 4096": {"passed": 4096},
    "collected 4096": {"collected_last": 4096},
    "collected 16384": {"collected_last": 16384},
}


def by_tiles(shape: tuple[int, ...], dtype: torch.dtype, layout: str) -> dict[str, Any]:
    """Ours alone, with tiles of other sizes."""
    usual = triton_launch.chip
    times: dict[str, Any] = {}
    multiprocessors = torch.cuda.get_device_properties(0).multi_processor_count
    for name, sizes in CHIPS.items():
        chip = Chip(multiprocessors, **sizes)
        triton_launch.chip = lambda _, chip=chip: chip
        forget()
        try:
            times[name] = graph_times(shape, dtype, layout, ("ours",))
        finally:
            triton_launch.chip = usual
            forget()
    return times


def forget() -> None:
    triton_launch.PREPARED.clear()
    triton_plan.plan.cache_clear()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=120)
    deadline = perf_counter() + parser.parse_args().seconds
    results: dict[str, Any] = {"device": torch.cuda.get_device_name(0), "torch": torch.__version__}

    def measure(what: Callable[..., Any], shape: tuple[int, ...], dtype: torch.dtype, layout: str, *rest: Any) -> None:
        key = f"{what.__name__} {'x'.join(map(str, shape))} {layout} {str(dtype).removeprefix('torch.')}"
        started = perf_counter()
        if started > deadline:
            results[key] = "skipped"
            return
        try:
            results[key] = what(shape, dtype, layout, *rest)
        except Exception:
            results[key] = traceback.format_exc()[-1500:]
        print(f"{perf_counter() - started:.1f} s {key}: {results[key]}", file=sys.stderr, flush=True)

    def layouts(shape: tuple[int, ...]) -> list[str]:
        return ["first", "last"] if len(shape) == 4 else ["first"]

    float32, bfloat16 = torch.float32, torch.bfloat16
    everyone = ("ours", "native")
    for shape in SHAPES:
        for layout in layouts(shape):
            measure(errors, shape, float32, layout)
            measure(graph_times, shape, float32, layout, everyone)
    for shape in ((256, 120), (256, 16, 8, 8), (256, 6, 24, 24)):
        measure(eager_times, shape, float32, "first")
    for layout in ("first", "last"):
        measure(by_tiles, LARGE[1], float32, layout)
    for shape in SHAPES:
        for layout in layouts(shape):
            measure(errors, shape, bfloat16, layout)
            measure(graph_times, shape, bfloat16, layout, ("ours", "native"))
    for layout in ("first", "last"):
        measure(by_tiles, LARGE[0], float32, layout)
    measure(by_tiles, LARGE[1], bfloat16, "first")
    measure(errors, (64, 64, 56, 56), torch.float64, "first")
    json.dump(results, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
