"""The channels of x: their axis, shapes that broadcast against it, the dtype of the arithmetic, what is accepted."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

RANKS = (2, 3, 4, 5)
LANES = 64
"""Up to so many values XLA sums side by side at its full rate; fewer, and it does not fill the processor's vectors."""


@dataclass(frozen=True)
class Sums:
    """Means over the axes of an array that are not the channels', and what is the same along them.

    `joined` neighbours of the last axis but one may stand side by side in the channels' axis, which comes last then,
    (..., W / joined, joined * C): three channels alone would fill a fifth of a vector.
    """

    axes: tuple[int, ...]
    joined: int = 1

    def join(self, x):
        """x, (..., W, C), with its neighbours side by side: the same memory."""
        if self.joined == 1:
            return x
        *outer, width, channels = x.shape
        # in two steps: JAX knows the sharding of what only splits an axis, or only merges two
        apart = x.reshape(*outer, width // self.joined, self.joined, channels)
        return apart.reshape(*outer, width // self.joined, self.joined * channels)

    def mean(self, values):
        """Joined values -> (C*)"""
        total = values.sum(self.axes, keepdims=True)  # (C*), or the same with joined * C
        n = values.size * self.joined // total.size  # values per channel
        if self.joined > 1:
            total = total.reshape(self.joined, -1).sum(0).reshape(*[1] * (values.ndim - 1), -1)  # (C*)
        return total / n

    def spread(self, per_channel):
        """(C*) in a shape that broadcasts against joined values."""
        if self.joined == 1:
            return per_channel
        return jnp.tile(per_channel.reshape(-1), self.joined).reshape(*per_channel.shape[:-1], -1)


def sums_over(x, conventions) -> Sums:
    """The sums for x's shape: with neighbours joined on a CPU, where the channels are last and few.

    XLA gathers what is sharded along the two axes that are joined; where shardings are part of the types, none are.
    """
    axes = other_axes(x, conventions)
    width, channels = x.shape[-2:]
    joinable = (
        conventions.channel_axis % x.ndim == x.ndim - 1
        and x.ndim > 2  # else the neighbours are examples
        and isinstance(width, int)  # and no symbol
        and jax.default_backend() == "cpu"
        and jax.sharding.AxisType.Explicit not in jax.typeof(x).sharding.mesh.axis_types
    )
    if not joinable:
        return Sums(axes)
    return Sums(axes, next(k for k in range(max(1, LANES // channels), 0, -1) if width % k == 0))


def per_channel_shape(x, conventions) -> list[int]:
    """The shape in which (C,) broadcasts against x: (1, C, 1, ...) or (1, ..., C)."""
    shape = [1] * x.ndim
    shape[conventions.channel_axis] = x.shape[conventions.channel_axis]
    return shape


def other_axes(x, conventions) -> tuple[int, ...]:
    """Every axis but the channels'."""
    return tuple(axis for axis in range(x.ndim) if axis != conventions.channel_axis % x.ndim)


def widened(x, gamma, beta, conventions):
    """(x, gamma, beta) in one dtype of at least 32 bits, gamma and beta (C,) -> (C*)."""
    dtype = jnp.promote_types(jnp.promote_types(x.dtype, gamma.dtype), jnp.float32)
    shape = per_channel_shape(x, conventions)
    return x.astype(dtype), gamma.astype(dtype).reshape(shape), beta.astype(dtype).reshape(shape)


def checked_count(x, num_features, conventions) -> int:
    """The number of values per channel. Raises TypeError for a non-float x, ValueError for a wrong shape."""
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(f"batch norm takes floating-point input, got {x.dtype}; convert x first")
    if x.ndim not in RANKS:
        raise ValueError(f"batch norm takes inputs of rank 2 to 5, got rank {x.ndim} (shape {x.shape})")
    axis = conventions.channel_axis
    if x.shape[axis] != num_features:
        raise ValueError(
            f"batch norm for {num_features} channels got {x.shape[axis]} on axis {axis} "
            f"(shape {x.shape}); is the channel axis where you think it is?"
        )
    return x.size // num_features
