"""The channels of x: their axis, shapes that broadcast against it, the dtype of the arithmetic, what is accepted."""

from __future__ import annotations

import torch
from torch import Tensor

from reference.conventions import Conventions

RANKS = (2, 3, 4, 5)


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
