"""Launches of the Triton kernels: for each shape a plan, compiled kernels, and the memory in which programs meet.

A layer on small x takes as long as its launches take the CPU. Therefore what a shape needs is prepared once, and a
kernel that has been compiled for it is started directly, without Triton's own look at every argument.
"""

from __future__ import annotations

import contextlib
import math
import os
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import Tensor

from impls.pytorch import triton_forward
from impls.pytorch.triton_plan import Chip, Layout, Plan, Tiling, plan

INTERPRETED = not hasattr(triton_forward.normalize, "device_caches")
"""Whether Triton's interpreter plays the kernels, on any device: TRITON_INTERPRET=1."""
CHIP_OF_INTERPRETER = Chip(
    multiprocessors=4, kept=64, waves=2, passed=512, collected_last=512, applied_last=512, least=16
)
"""So small that small arrays go every way there is."""
COUNTERS, PARTIALS = 1 << 13, 1 << 16
"""Numbers of scratch memory at first."""
WIDE_FROM = 1 << 31
"""Values, from which offsets take 64 bits."""
NOTHING = contextlib.nullcontext()


@dataclass(eq=False)
class Prepared:
    """What the kernels need to know about x of one shape, memory order, dtype and device."""

    plan: Plan
    in_order: bool
    """Whether x lies as `plan.layout` says; else it is to be made contiguous."""
    device: torch.device
    compiled: dict[tuple, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        layout = self.layout = self.plan.layout
        self.sizes = (layout.rows, layout.channels, layout.inner)
        self.wide = layout.size >= WIDE_FROM
        self.kept: Tensor | None = None

    def kept_like(self, gamma: Tensor) -> Tensor:
        """Memory for C means and C variances. From a tensor like it: that is how PyTorch makes one soonest."""
        if self.kept is None:
            self.kept = gamma.new_empty(2, len(gamma))
        return torch.empty_like(self.kept)

    def constants(self, tiling: Tiling) -> tuple[int, ...]:
        """LAST, ROWS, COLS, CHUNK, WIDE, as kernels take them in which programs share a channel."""
        return self.layout.last, tiling.tile_rows, tiling.tile_cols, tiling.chunk, self.wide

    def tile_constants(self, tiling: Tiling) -> tuple[int, ...]:
        """LAST, ROWS, COLS, WIDE: of the other kernels."""
        return self.layout.last, tiling.tile_rows, tiling.tile_cols, self.wide

    def launch(
        self,
        kernel: Any,
        programs: int,
        arrays: tuple[Tensor, ...],
        numbers: tuple[float, ...],
        constants: tuple[int, ...],
        warps: int,
    ) -> None:
        """arrays: first the one or two inputs of x's size, whose addresses may be odd; fresh ones are aligned."""
        addresses = [array.data_ptr() for array in arrays]  # a launcher takes numbers without a look at them
        key = (id(kernel), constants, (addresses[0] | addresses[1]) & 15)  # a kernel's own hash takes a lock
        ready = self.compiled.get(key)
        if ready is None or self.device.index != torch._C._cuda_getDevice():
            with torch.cuda.device(self.device) if self.device.type == "cuda" else NOTHING:
                compiled = kernel[(programs,)](*arrays, *numbers, *constants, num_warps=warps)
            if not INTERPRETED:
                self.compiled[key] = compiled.run, compiled.function, compiled.packed_metadata
            return
        run, function, metadata = ready
        stream = torch._C._cuda_getCurrentRawStream(self.device.index)
        run(programs, 1, 1, stream, function, metadata, None, None, None, *addresses, *numbers, *constants)

    def scratch(self, tiling: Tiling, like: Tensor) -> tuple[Tensor, Tensor]:
        """(partials, counters) for the programs of a tiling; `like`, of partials' dtype, where nothing is shared."""
        if tiling.parts == 1:
            return like, like
        return scratch(like, 3 * tiling.parts * self.layout.channels, 2 * tiling.blocks)


def prepare(x: Tensor, channel_axis: int) -> Prepared:
    key = (x.shape, x.stride(), x.dtype, x.device, channel_axis)
    prepared = PREPARED.get(key)
    if prepared is None:
        if len(PREPARED) >= MOST_PREPARED:
            PREPARED.clear()
        layout, in_order = layout_of(x, channel_axis)
        prepared = PREPARED[key] = Prepared(plan(layout, x.dtype, chip(x.device)), in_order, x.device)
    return prepared


PREPARED: dict[tuple, Prepared] = {}
MOST_PREPARED = 4096


def layout_of(x: Tensor, channel_axis: int) -> tuple[Layout, bool]:
    """(how the kernels see x, whether it lies so already): else it is to be made contiguous."""
    axis = channel_axis % x.ndim
    channels = x.shape[axis]
    if x.movedim(axis, -1).is_contiguous():
        return Layout(x.numel() // channels, channels, channels, last=True), True
    in_order = x.is_contiguous()
    if axis == x.ndim - 1:
        return Layout(x.numel() // channels, channels, channels, last=True), in_order
    rows = math.prod(x.shape[:axis])
    return Layout(rows, channels, x.numel() // (rows * channels), last=False), in_order


@cache
def chip(device: torch.device) -> Chip:
    if INTERPRETED:
        return CHIP_OF_INTERPRETER
    multiprocessors = torch.cuda.get_device_properties(device).multi_processor_count
    has_all = "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE" not in os.environ
    return (
        Chip(multiprocessors) if has_all else Chip(multiprocessors, waves=0, waves_last=0)
    )  # a share: programs must not wait


def output_like(x: Tensor) -> Tensor:
    """Where a kernel writes what has x's shape. Triton's interpreter cuts bfloat16 off where a GPU rounds it."""
    if INTERPRETED and x.dtype is torch.bfloat16:
        return torch.empty_like(x, dtype=torch.float32)
    return torch.empty_like(x)


def scratch(like: Tensor, partials: int, counters: int) -> tuple[Tensor, Tensor]:
    """(numbers of the dtype of `like`, zeros). Every kernel leaves zeros, so that those of a stream share them.

    While a graph is captured it gets memory of its own, because graphs may be replayed side by side.
    """
    device = like.device
    if device.type != "cuda" or torch.cuda.is_current_stream_capturing():
        return like.new_empty(partials), torch.zeros(counters, dtype=torch.int32, device=device)
    key = (device, torch._C._cuda_getCurrentRawStream(device.index), like.dtype)
    shared = SHARED.get(key)
    if shared is None or len(shared[0]) < partials or len(shared[1]) < counters:
        shared = SHARED[key] = (
            like.new_empty(max(partials, PARTIALS)),
            torch.zeros(max(counters, COUNTERS), dtype=torch.int32, device=device),
        )
    return shared


SHARED: dict[tuple, tuple[Tensor, Tensor]] = {}
