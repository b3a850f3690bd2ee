"""One batch-norm layer, forward and backward: ours against the framework's own, over shapes that occur in networks.

Paired rounds as in `throughput.py`: ours, native, and ours again as the control, the order reversed every round.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from harness.bench.figures import decide, spread
from harness.bench.results import Decision, LayerThroughput

SHAPES = ((256, 6, 24, 24), (256, 16, 8, 8), (64, 64, 56, 56), (256, 120))
SECONDS = 0.05  # of calls in a round, so that a short call is not measured by one tick of the clock
TOLERANCE = 1e-4
BYTES_PER_ELEMENT = 8 + 12
"""Of float32 traffic where each way is a single pass: x in and y out; x and dy in and dx out."""
OURS, NATIVE, AGAIN = "ours", "native", "ours again"

Step = Callable[[], Any]


@dataclass
class Layers:
    """Ours and the native layer on the same x and dy. A step returns (y, dx) and waits until they are there."""

    framework: str
    layout: str
    shape: tuple[int, ...]
    steps: dict[str, Step]
    device: str


def measure(
    rounds: int, device: str = "cpu", on_shape: Callable[[str], None] | None = None
) -> tuple[LayerThroughput, ...]:
    """A record for each framework that is installed, shape and layout; ratio = native's time / ours."""
    records = []
    for framework, make in FRAMEWORKS.items():
        if importlib.util.find_spec(framework) is None:
            continue
        for shape in SHAPES:
            for layers in make(shape, device):
                if on_shape:
                    on_shape(f"{framework} {layers.layout} {shape}")
                records.append(compare(layers, rounds))
    return tuple(records)


def compare(layers: Layers, rounds: int) -> LayerThroughput:
    seconds = timed(layers.steps | {AGAIN: layers.steps[OURS]}, rounds)
    ratio = spread([native / ours for native, ours in zip(seconds[NATIVE], seconds[OURS], strict=True)])
    control = spread([again / ours for again, ours in zip(seconds[AGAIN], seconds[OURS], strict=True)])
    agrees = all(
        np.allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE)
        for a, b in zip(results(layers.steps[OURS]), results(layers.steps[NATIVE]), strict=True)
    )
    fastest = min(seconds[OURS])
    return LayerThroughput(
        name=layers.framework,
        layout=layers.layout,
        shape=layers.shape,
        against=NATIVE,
        seconds=fastest,
        native_seconds=min(seconds[NATIVE]),
        bytes_per_second=BYTES_PER_ELEMENT * math.prod(layers.shape) / fastest,
        ratio=ratio,
        control=control,
        decision=decide(ratio, control) if agrees else Decision.DISAGREES,
        rounds=rounds,
        device=layers.device,
    )


def results(step: Step) -> list[np.ndarray]:
    """(y, dx), brought back from the device."""
    return [np.asarray(value.cpu() if hasattr(value, "cpu") else value) for value in step()]


def timed(steps: dict[str, Step], rounds: int) -> dict[str, list[float]]:
    """Seconds a call, round by round, of each step."""
    calls = {}
    for name, step in steps.items():
        step()
        started = perf_counter()
        step()
        calls[name] = max(1, round(SECONDS / (perf_counter() - started)))
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(rounds):
        for name in steps if number % 2 else reversed(steps):
            started = perf_counter()
            for _ in range(calls[name]):
                steps[name]()
            seconds[name].append((perf_counter() - started) / calls[name])
    return seconds


def arrays(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(1, 2, shape).astype(np.float32), rng.normal(0, 1, shape).astype(np.float32)


def torch_layers(shape: tuple[int, ...], device: str) -> list[Layers]:
    import torch

    from impls.pytorch.batch_norm import BatchNorm
    from impls.pytorch.lenet import native_norm
    from impls.pytorch.training import synchronize

    formats = {"channels first": torch.contiguous_format} | (
        {"channels last": torch.channels_last} if len(shape) == 4 else {}
    )

    def step_of(layer: Any, x: Any, dy: Any) -> Step:
        parameters = list(layer.parameters())

        def step() -> tuple[Any, Any]:
            y = layer(x)
            dx, *_ = torch.autograd.grad(y, [x, *parameters], dy)
            synchronize(device)
            return y.detach(), dx

        return step

    by_layout = []
    for layout, memory in formats.items():
        x, dy = [torch.tensor(a, device=device).contiguous(memory_format=memory) for a in arrays(shape)]
        x.requires_grad_()
        layers = {OURS: BatchNorm(shape[1]), NATIVE: native_norm(shape[1], len(shape))}
        steps = {name: step_of(layer.to(device), x, dy) for name, layer in layers.items()}
        by_layout.append(Layers("torch", layout, shape, steps, device))
    return by_layout


def jax_layers(shape: tuple[int, ...], device: str) -> list[Layers]:
    import jax
    from flax import nnx

    from impls.jax_flax.batch_norm import BatchNorm
    from impls.jax_flax.lenet import CONVENTIONS

    where = jax.devices(device)[0]
    x, dy = [jax.device_put(np.moveaxis(a, 1, -1).copy(), where) for a in arrays(shape)]
    with jax.default_device(where):
        layers = {
            OURS: BatchNorm(shape[1], conventions=CONVENTIONS),
            NATIVE: nnx.BatchNorm(shape[1], use_running_average=False, momentum=0.9, rngs=nnx.Rngs(0)),
        }

    def step_of(layer: Any) -> Step:
        graph, params, rest = nnx.graphdef(layer), nnx.state(layer, nnx.Param), nnx.state(layer, nnx.BatchStat)

        @jax.jit
        def both(params, rest, x, dy):
            def forward(params, x):
                copy = nnx.merge(graph, params, rest, copy=True)
                y = copy(x)
                return y, nnx.state(copy, nnx.BatchStat)

            y, back, stats = jax.vjp(forward, params, x, has_aux=True)
            grads, dx = back(dy)
            return y, dx, grads, stats

        return lambda: jax.block_until_ready(both(params, rest, x, dy))[:2]

    return [Layers("jax", "channels last", shape, {name: step_of(layer) for name, layer in layers.items()}, device)]


FRAMEWORKS = {"torch": torch_layers, "jax": jax_layers}
