"""Memory for arrays that are kept: in large blocks, and several arrays in one vector."""

from __future__ import annotations

import math

import numpy as np

BLOCK = 16 << 20
"""Bytes. NumPy asks Linux for huge pages for arrays of 4 MiB and more: a step takes up to 8 % less time with them."""
LINE = 64
"""Of a cache, in bytes."""


class Buffers:
    """Makes arrays of one dtype, each from the beginning of a cache line, whose values are anything at first."""

    def __init__(self, dtype: np.typing.DTypeLike) -> None:
        self.dtype = np.dtype(dtype)
        self.free = np.empty(0, np.uint8)

    def empty(self, *shape: int) -> np.ndarray:
        size = math.prod(shape) * self.dtype.itemsize
        taken = -(-size // LINE) * LINE
        if taken > self.free.size:
            block = np.empty(max(taken, BLOCK) + LINE, np.uint8)
            self.free = block[-block.ctypes.data % LINE :]
        array, self.free = self.free[:size].view(self.dtype).reshape(shape), self.free[taken:]
        return array


def in_one_vector(like: dict[str, np.ndarray], dtype: np.typing.DTypeLike) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Zeros for arrays of those names and shapes, one behind the other: (the vector, name -> the part of it)."""
    ends = np.cumsum([array.size for array in like.values()])
    vector = np.zeros(ends[-1], dtype)
    parts = np.split(vector, ends[:-1])
    return vector, {name: part.reshape(like[name].shape) for name, part in zip(like, parts, strict=True)}
