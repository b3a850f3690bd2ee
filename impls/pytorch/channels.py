"""The channels of x: their axis, shapes that broadcast against it, the dtype of the arithmetic, what is accepted."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from reference.conventions import Conventions

RANKS = (2, 3, 4, 5)
FEW = 8
"""Channels up to which neighbours are joined."""
MANY = 2**19
"""Values of x from which they are: in fewer, calls take longer than is saved."""
LANES = 256
"""So many values at most are then side by side."""


def per_channel_shape(x: Tensor, conventions: Conventions) -> list[int]:
    """The shape in which (C,) broadcasts against x: (1, C, 1, ...) or (1, ..., C)."""
    shape = [1] * x.ndim
    shape[conventions.channel_axis] = x.shape[conventions.channel_axis]
    return shape


def other_axes(x: Tensor, conventions: Conventions) -> list[int]:
    """Every axis but the channels'."""
    axes = list(range(x.ndim))
    axes.pop(conventions.channel_axis)
    return axes


def working_dtype(x: Tensor, gamma: Tensor) -> torch.dtype:
    """The dtype of statistics and arithmetic: at least float32."""
    return torch.promote_types(torch.promote_types(x.dtype, gamma.dtype), torch.float32)


def check(x: Tensor, num_features: int, conventions: Conventions) -> None:
    """Raises TypeError for a non-float dtype, ValueError for a wrong rank or channel count."""
    if not x.is_floating_point():
        raise TypeError(f"batch norm takes floating-point input, got {x.dtype}; convert x first")
    shape, axis = tuple(x.shape), conventions.channel_axis
    if x.ndim not in RANKS:
        raise ValueError(f"batch norm takes inputs of rank 2 to 5, got rank {x.ndim} (shape {shape})")
    if shape[axis] != num_features:
        raise ValueError(
            f"batch norm for {num_features} channels got {shape[axis]} on axis {axis} "
            f"(shape {shape}); is the channel axis where you think it is?"
        )


def sum_over(axes: list[int], x: Tensor, dtype: torch.dtype) -> Tensor:
    """The sum of x, of shape (C*): within each example, then over the examples.

    Every other operation gives a thread the same examples of a batch. So does this one, and not channels, whose
    values the thread would have to fetch from another core.
    """
    first, *rest = axes  # the examples' axis, and those within an example
    if rest:
        x = x.sum(rest, keepdim=True, dtype=dtype)  # (N, C, 1, ...) or (N, 1, ..., C)
    return x.sum(first, keepdim=True, dtype=dtype)  # (C*)


@dataclass(frozen=True)
class Lanes:
    """How arrays of x's shape are gone through: as they are, or as rows of `joined` neighbours, all channels of each.

    Where channels lie side by side in memory, and are few, PyTorch goes through an operation with numbers per channel
    in runs as short as that: joined neighbours make them longer.
    """

    axis: int
    axes: list[int]
    channels: int
    joined: int

    def rows(self, x: Tensor) -> Tensor:
        """x, or the same as (N, n / N / joined, joined * C)."""
        return x if self.joined == 1 else x.movedim(self.axis, -1).reshape(len(x), -1, self.joined * self.channels)

    def back(self, rows: Tensor, like: Tensor) -> Tensor:
        """The inverse of `rows`."""
        if self.joined == 1:
            return rows
        return rows.view(like.movedim(self.axis, -1).shape).movedim(-1, self.axis)

    def over(self, value: Tensor) -> Tensor:
        """(C*) in a shape that broadcasts against rows."""
        return value if self.joined == 1 else value.reshape(-1).repeat(self.joined)

    def sum(self, rows: Tensor, dtype: torch.dtype, shape: list[int]) -> Tensor:
        """Of rows, `shape` being (C*)."""
        if self.joined == 1:
            return sum_over(self.axes, rows, dtype)
        return sum_over([0, 1], rows, dtype).view(self.joined, self.channels).sum(0).view(shape)


def lanes_of(x: Tensor, conventions: Conventions) -> Lanes:
    """x: of any layout in memory."""
    axis, joined = conventions.channel_axis, 1
    channels = x.shape[axis]
    few = channels <= FEW and x.ndim > 2 and x.numel() >= MANY
    if few and x.stride(axis) == 1 and x.movedim(axis, -1).is_contiguous():
        positions = x[0].numel() // channels
        joined = next(k for k in range(LANES // channels, 0, -1) if positions % k == 0)
    return Lanes(axis, other_axes(x, conventions), channels, joined)
