"""The channels of x: their axis, shapes that broadcast against it, the dtype of the arithmetic, what is accepted."""

from __future__ import annotations

import jax.numpy as jnp

RANKS = (2, 3, 4, 5)


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
