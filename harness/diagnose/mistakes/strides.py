"""Strides ignored: x or dy read in the order in which its buffer holds it, not in the order that its strides give."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from harness.judge.oracle import OracleLayer
from harness.targets.play import laid_out
from reference.batch_norm import to_rows

CONTIGUOUS = ("plain", "read_only")
"""Layouts in which both orders are the same."""


class InMemoryOrder(OracleLayer):
    """x and dy are read from their first address on, as if they were contiguous; results are contiguous."""

    alone = True
    reads: tuple[str, ...] = ("x", "dy")
    """What is read in memory order."""
    by_address = True
    """Whether a gap between elements is read as well. If not: the elements in the order in which they lie."""
    writes_alike = False
    """Whether y and dx get the strides of x, and are filled in memory order."""
    memory_axis = 1
    """Where the target's own channels lie: memory is laid out before they are moved to axis 1."""

    @classmethod
    def from_setup(cls, setup, conventions):
        layer: Any = super().from_setup(setup, conventions)
        layer.memory_axis = conventions.channel_axis
        return layer

    def play(self, step):
        if step.x is None or step.layout in CONTIGUOUS:
            return super().play(step)
        values = super().play(
            replace(step, **{name: self.read(getattr(step, name), step.layout) for name in self.reads})
        )
        if self.writes_alike:
            values |= {name: self.written(values[name], step) for name in ("y", "dx") if name in values}
        return values

    def read(self, values, layout):
        """`values` (channels on axis 1) as they are read from an array of that layout."""
        strided = laid_out(np.moveaxis(values, 1, self.memory_axis), layout)
        elements = from_address(strided) if self.by_address else strided.ravel(order="K")
        return np.moveaxis(elements.reshape(strided.shape), self.memory_axis, 1)

    def written(self, values, step):
        """`values` (channels on axis 1) written in memory order to an array with the strides of x."""
        result = np.empty_like(laid_out(np.moveaxis(step.x, 1, self.memory_axis), step.layout), values.dtype)
        outermost_first = sorted(range(result.ndim), key=lambda axis: -abs(result.strides[axis]))
        in_memory = result.transpose(outermost_first)
        in_memory[...] = np.moveaxis(values, 1, self.memory_axis).reshape(in_memory.shape)
        return np.moveaxis(result, self.memory_axis, 1)


def from_address(strided: np.ndarray) -> np.ndarray:
    """As many elements as the array has, from that of its first one on; NaN where the buffer ends."""
    buffer = strided
    while isinstance(buffer.base, np.ndarray):
        buffer = buffer.base
    start = (strided.__array_interface__["data"][0] - buffer.__array_interface__["data"][0]) // strided.itemsize
    found = buffer.ravel(order="K")[start : start + strided.size]
    return np.concatenate([found, np.full(strided.size - len(found), np.nan, strided.dtype)])


class InMemoryOrderLikeX(InMemoryOrder):
    """As above, and y and dx are written in memory order to arrays with x's strides."""

    writes_alike = True


class XInMemoryOrder(InMemoryOrder):
    reads = ("x",)


class DyInMemoryOrder(InMemoryOrder):
    reads = ("dy",)


class ElementsInMemoryOrder(InMemoryOrder):
    by_address = False


class ElementsInMemoryOrderLikeX(InMemoryOrderLikeX):
    by_address = False


class XElementsInMemoryOrder(XInMemoryOrder):
    by_address = False


class DyElementsInMemoryOrder(DyInMemoryOrder):
    by_address = False


class BackwardInMemoryOrder(InMemoryOrder):
    """y is right; the backward pass reads the saved x in memory order, dy as it should."""

    reads: tuple[str, ...] = ()
    saved_x: Any = None

    def play(self, step):
        self.saved_x = None if step.x is None else self.read(step.x, step.layout)
        return super().play(step)

    def normalize(self, x, mean, var):
        y, cache = super().normalize(x, mean, var)
        saved = to_rows(self.saved_x.astype(x.dtype), 1)
        return y, cache | {"x_hat": (saved - mean) * cache["scale"]}


class BackwardInMemoryOrderThroughout(BackwardInMemoryOrder):
    """As above, and dy as well."""

    reads = ("dy",)


STRIDES = (
    InMemoryOrder,
    InMemoryOrderLikeX,
    XInMemoryOrder,
    DyInMemoryOrder,
    ElementsInMemoryOrder,
    ElementsInMemoryOrderLikeX,
    XElementsInMemoryOrder,
    DyElementsInMemoryOrder,
    BackwardInMemoryOrder,
    BackwardInMemoryOrderThroughout,
)
