"""One batch-norm layer, forward and backward: ours against the framework's own, over shapes that networks have.

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

from harness.bench.throughput import decision, spread

SHAPES = ((256, 6, 24, 24), (256, 16, 8, 8), (64, 64, 56, 56), (256, 120))
SECONDS = 0.05  # of calls in a round, so that a short call is not measured by one tick of the clock
TOLERANCE = 1e-4
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


def measure(rounds: int, device: str = "cpu", on_shape: Callable[[str], None] | None = None) -> list[dict[str, Any]]:
    """Ledger records of kind "throughput", one a shape, layout and framework; ratio = native's time / ours."""
    records = []
    for framework, make in FRAMEWORKS.items():
        if importlib.util.find_spec(framework) is None:
            continue
        for shape in SHAPES:
            for layers in make(shape, device):
                if on_shape:
                    on_shape(f"{framework} {layers.layout} {shape}")
                records.append(record(layers, rounds))
    return records


def record(layers: Layers, rounds: int) -> dict[str, Any]:
    seconds = timed(layers.steps | {AGAIN: layers.steps[OURS]}, rounds)
    ratio = spread([n / o for n, o in zip(seconds[NATIVE], seconds[OURS], strict=True)])
    control = spread([n / o for n, o in zip(seconds[AGAIN], seconds[OURS], strict=True)])
    agrees = all(
        np.allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE)
        for a, b in zip(layers.steps[OURS](), layers.steps[NATIVE](), strict=True)
    )
    fastest = min(seconds[OURS])
    return {
        "bench": "layer",
        "name": layers.framework,
        "layout": layers.layout,
        "shape": list(layers.shape),
        "against": NATIVE,
        "seconds": fastest,
        "native_seconds": min(seconds[NATIVE]),
        "bytes_per_second": 20 * math.prod(layers.shape) / fastest,  # 8 + 12 an element: a single pass each way
        "ratio": ratio,
        "control": control,
        "decision": decision(ratio, control) if agrees else "DISAGREES",
        "rounds": rounds,
        "device": layers.device,
    }


def timed(steps: dict[str, Step], rounds: int) -> dict[str, list[float]]:
    """Seconds a call, a list of rounds each."""
    calls = {}
    for name, step in steps.items():
        step()
        started = perf_counter()
        step()
        calls[name] = max(1, round(SECONDS / (perf_counter() - started)))
    found: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(rounds):
        for name in list(steps) if number % 2 else list(reversed(steps)):
            started = perf_counter()
            for _ in range(calls[name]):
                steps[name]()
            found[name].append((perf_counter() - started) / calls[name])
    return found


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

    found = []
    for layout, memory in formats.items():
        x, dy = [torch.tensor(a, device=device).contiguous(memory_format=memory) for a in arrays(shape)]
        x.requires_grad_()
        made = {OURS: BatchNorm(shape[1]), NATIVE: native_norm(shape[1], len(shape))}
        steps = {name: step_of(layer.to(device), x, dy) for name, layer in made.items()}
        found.append(Layers("torch", layout, shape, steps, device))
    return found


def jax_layers(shape: tuple[int, ...], device: str) -> list[Layers]:
    import jax
    from flax import nnx

    from impls.jax_flax.batch_norm import BatchNorm
    from impls.jax_flax.lenet import CONVENTIONS

    where = jax.devices(device)[0]
    x, dy = [jax.device_put(np.moveaxis(a, 1, -1).copy(), where) for a in arrays(shape)]
    with jax.default_device(where):
        made = {
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

    return [Layers("jax", "channels last", shape, {name: step_of(layer) for name, layer in made.items()}, device)]


FRAMEWORKS = {"torch": torch_layers, "jax": jax_layers}
