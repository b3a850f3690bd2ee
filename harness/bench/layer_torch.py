"""PyTorch's contestants of `layer.py`, and what they keep in memory."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from harness.bench.contest import COPY, NATIVE, OURS, SMALL, Contest, Step, arrays
from harness.bench.options import BACKWARD, FORWARD, LAST, TRAINING, LayerCase
from impls.pytorch.batch_norm import BatchNorm, plain_batch_norm
from impls.pytorch.lenet import native_norm

OUT_OF_CACHE = 400e6
"""Bytes of x and dy together, among which calls on a GPU go round, so that its cache does not hold them."""
MOST_PAIRS = 16

Pair = tuple[Tensor, Tensor]


class SmallOperations(nn.Module):
    """The plain formula, an operation after the other, as a tutorial writes it."""

    def __init__(self, layer: BatchNorm) -> None:
        super().__init__()
        self.gamma, self.beta = layer.gamma, layer.beta
        self.moving = layer.moving_mean, layer.moving_var
        self.eps, self.momentum = layer.eps, layer.momentum

    def forward(self, x: Tensor) -> Tensor:
        y, mean, var = plain_batch_norm(
            x, self.gamma, self.beta, *self.moving, self.eps, self.momentum, training=self.training
        )
        self.moving = mean.detach(), var.detach()
        return y.to(x.dtype)


def contest(case: LayerCase) -> Contest:
    if case.threads is not None:
        torch.set_num_threads(case.threads)
    pairs = inputs(case)
    layers = {OURS: BatchNorm(case.shape[1]), NATIVE: native_norm(case.shape[1], len(case.shape))}
    for layer in layers.values():
        layer.to(case.device).train(case.mode == TRAINING)
    small = SmallOperations(BatchNorm(case.shape[1]).to(case.device)).train(case.mode == TRAINING)
    steps = {name: step_of(layer, pairs, case.way) for name, layer in (layers | {SMALL: small}).items()}
    return Contest(
        steps=steps | {COPY: copy_of(pairs)},
        wait=partial(wait, case.device),
        results=lambda name: [
            value.detach().float().cpu().numpy() for value in forward_backward(layers[name], pairs[0])
        ],
        kept={name: kept_bytes(layer, pairs[0]) for name, layer in layers.items()},
        peaks={name: peak_bytes(layer, pairs[0]) for name, layer in layers.items()},
    )


def inputs(case: LayerCase) -> list[Pair]:
    """(x, dy), as many as fill the cache of a GPU; one on a CPU."""
    dtype = getattr(torch, case.dtype)
    size = 2 * dtype.itemsize * math.prod(case.shape)
    number = 1 if case.device == "cpu" else max(1, min(MOST_PAIRS, math.ceil(OUT_OF_CACHE / size)))
    memory = torch.channels_last if case.layout == LAST and len(case.shape) == 4 else torch.contiguous_format
    first = [torch.tensor(a, device=case.device).to(dtype).contiguous(memory_format=memory) for a in arrays(case.shape)]
    copies = [[array.clone() for array in first] for _ in range(number)]
    return [(x.requires_grad_(), dy) for x, dy in copies]


def step_of(layer: nn.Module, pairs: list[Pair], way: str) -> Step:
    """What is timed, going round the pairs."""
    pairs_forever = itertools.cycle(pairs)
    if way == FORWARD:
        return lambda: layer(next(pairs_forever)[0])
    if way == BACKWARD:
        return backward_of(layer, pairs)
    return lambda: forward_backward(layer, next(pairs_forever))


def backward_of(layer: nn.Module, pairs: list[Pair]) -> Step:
    """Backward alone, of graphs that are made once."""
    parameters = list(layer.parameters())
    graphs = itertools.cycle([(layer(x), x, dy) for x, dy in pairs])

    def step() -> tuple[Tensor, ...]:
        y, x, dy = next(graphs)
        return torch.autograd.grad(y, [x, *parameters], dy, retain_graph=True)

    return step


def forward_backward(layer: nn.Module, pair: Pair) -> tuple[Tensor, Tensor]:
    """(y, dx)"""
    x, dy = pair
    y = layer(x)
    dx, *_ = torch.autograd.grad(y, [x, *layer.parameters()], dy)
    return y, dx


def copy_of(pairs: list[Pair]) -> Step:
    copies = itertools.cycle([(x.detach(), torch.empty_like(x)) for x, _ in pairs])

    def step() -> Tensor:
        x, into = next(copies)
        return into.copy_(x)

    return step


def wait(device: str, _: Any) -> None:
    if device != "cpu":
        torch.cuda.synchronize(device)


# --- memory ---


def kept_bytes(layer: nn.Module, pair: Pair) -> int:
    """What autograd saves for backward, parameters and buffers apart, each memory once."""
    held = {tensor.untyped_storage().data_ptr() for tensor in itertools.chain(layer.parameters(), layer.buffers())}
    saved: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in held:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        y = layer(pair[0])  # its graph lives as long: no memory is used twice
    del y
    return sum(saved.values())


def peak_bytes(layer: nn.Module, pair: Pair) -> int:
    """The most that is allocated at a time, forward and backward, beside what was there."""
    forward_backward(layer, pair)
    if pair[0].is_cuda:
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        forward_backward(layer, pair)
        return torch.cuda.max_memory_allocated() - before
    return most_at_once(lambda: forward_backward(layer, pair))


def most_at_once(call: Callable[[], Any]) -> int:
    """By the profiler's record of every allocation on the CPU."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        call()
    events = [event for event in record.profiler.kineto_results.events() if event.name() == "[memory]"]
    sizes = [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]
    return max(itertools.accumulate(sizes), default=0)
