"""Strides ignored: x or dy read in the order in which its buffer holds it, not in the order that its strides give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from harness.judge.oracle import OracleLayer
from harness.targets.play import laid_out
from reference.batch_norm import to_rows

CONTIGUOUS = ("plain", "read_only")
"""Layouts in which both orders are the same."""


def from_address(strided: np.ndarray) -> np.ndarray:
    """As many elements as the array has, from its first one on."""
    return buffer_of(strided)[offset_of(strided) :][: strided.size] if may_be_read(strided) else strided.ravel()


def from_start(strided: np.ndarray) -> np.ndarray:
    """As many elements as the array has, from the start of the buffer on which it is a view."""
    return buffer_of(strided)[: strided.size] if may_be_read(strided) else strided.ravel()


def without_offset(strided: np.ndarray) -> np.ndarray:
    """By the array's strides, but from the start of the buffer on which it is a view."""
    if not may_be_read(strided):
        return strided.ravel()
    return np.lib.stride_tricks.as_strided(buffer_of(strided), strided.shape, strided.strides).ravel()


def as_they_lie(strided: np.ndarray) -> np.ndarray:
    """The array's elements in the order of their addresses, without the gaps between."""
    return strided.ravel(order="K")


def may_be_read(strided: np.ndarray) -> bool:
    """Whether a read by address stays in the buffer: with strides of zero and below it would not; they are copied."""
    return min(strided.strides) > 0


def buffer_of(strided: np.ndarray) -> np.ndarray:
    """What lies in the memory on which the array is a view, as one row."""
    buffer = strided
    while isinstance(buffer.base, np.ndarray):
        buffer = buffer.base
    return buffer.ravel(order="K")


def offset_of(strided: np.ndarray) -> int:
    """How many elements of its buffer come before the array's first one."""
    buffer = strided
    while isinstance(buffer.base, np.ndarray):
        buffer = buffer.base
    address, start = (array.__array_interface__["data"][0] for array in (strided, buffer))
    return int(address - start) // strided.itemsize


class InMemoryOrder(OracleLayer):
    """x and dy are read from their first address on, as if they were contiguous; results are contiguous."""

    alone = True
    reads: tuple[str, ...] = ("x", "dy")
    """What is read in memory order."""
    elements = staticmethod(from_address)
    """How it is read."""
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
        layouts = {"x": step.layout, "dy": step.dy_layout}
        if step.x is None or all(layout in CONTIGUOUS for layout in layouts.values()):
            return super().play(step)
        values = super().play(
            replace(step, **{name: self.read(getattr(step, name), layouts[name]) for name in self.reads})
        )
        if self.writes_alike:
            values |= {name: self.written(values[name], step) for name in ("y", "dx") if name in values}
        return values

    def read(self, values, layout):
        """`values` (channels on axis 1) as they are read from an array of that layout."""
        strided = laid_out(np.moveaxis(values, 1, self.memory_axis), layout, self.memory_axis)
        return np.moveaxis(self.elements(strided).reshape(strided.shape), self.memory_axis, 1)

    def written(self, values, step):
        """`values` (channels on axis 1) written in memory order to an array with the strides of x."""
        result = np.empty_like(
            laid_out(np.moveaxis(step.x, 1, self.memory_axis), step.layout, self.memory_axis), values.dtype
        )
        outermost_first = sorted(range(result.ndim), key=lambda axis: -abs(result.strides[axis]))
        in_memory = result.transpose(outermost_first)
        in_memory[...] = np.moveaxis(values, 1, self.memory_axis).reshape(in_memory.shape)
        return np.moveaxis(result, self.memory_axis, 1)


class InMemoryOrderLikeX(InMemoryOrder):
    """As above, and y and dx are written in memory order to arrays with x's strides."""

    writes_alike = True


class XInMemoryOrder(InMemoryOrder):
    reads = ("x",)


class DyInMemoryOrder(InMemoryOrder):
    reads = ("dy",)


def read_by(elements: Callable[[np.ndarray], np.ndarray], *kinds: type[InMemoryOrder]) -> tuple[type[OracleLayer], ...]:
    """The mistakes `kinds` with another way to read."""
    name = elements.__name__.title().replace("_", "")
    return tuple(type(f"{kind.__name__}{name}", (kind,), {"elements": staticmethod(elements)}) for kind in kinds)


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


STRIDES: tuple[type[OracleLayer], ...] = (
    InMemoryOrder,
    InMemoryOrderLikeX,
    XInMemoryOrder,
    DyInMemoryOrder,
    BackwardInMemoryOrder,
    BackwardInMemoryOrderThroughout,
    *read_by(as_they_lie, InMemoryOrder, InMemoryOrderLikeX, XInMemoryOrder, DyInMemoryOrder),
    *read_by(as_they_lie, BackwardInMemoryOrder, BackwardInMemoryOrderThroughout),
    *read_by(from_start, InMemoryOrder, XInMemoryOrder),
    *read_by(without_offset, InMemoryOrder, XInMemoryOrder),
)
