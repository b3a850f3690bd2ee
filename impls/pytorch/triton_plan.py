"""How the Triton kernels divide x among programs: by its shape, its memory order, and the size of the GPU.

The rules are measured ones, on an H200: `tests/experiments/triton_timings.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch

SECTOR = 32
"""Bytes: the least that memory is read by."""
WIDE = 32
"""Channels in a tile, where they are last."""
WARPS = 32
"""Of a multiprocessor, at work at once."""
READ_AT_ONCE = 2048
"""Numbers of a quantity that a program reads at once when it puts the parts of others together."""


@dataclass(frozen=True)
class Chip:
    """What the GPU can hold."""

    multiprocessors: int
    kept: int = 8192
    """Values in a tile that a program keeps in registers: float32, 32 for each of 256 threads."""
    passed: int = 2048
    """Values in a tile that a program goes through, where the channels are first."""
    collected_last: int = 8192
    """Values in a tile that a program only sums up, where they are last."""
    applied_last: int = 4096
    """Values in a tile that a program changes, where they are last."""
    waves: int = 12
    """How often x may fill the GPU's registers and still be kept: beyond, programs wait longer than they save."""
    waves_last: int = 2
    """The same, channels last: programs of a block then read less than a line at a time."""
    least: int = 512
    """Values in a tile at least: a program for fewer is not worth while."""

    def keeps(self, layout: Layout) -> bool:
        waves = self.waves_last if layout.last else self.waves
        return layout.size <= waves * self.multiprocessors * self.kept


@dataclass(frozen=True)
class Layout:
    """x as a matrix of rows: (rows, channels, inner) where the channels come first, else (rows, channels = inner)."""

    rows: int
    channels: int
    inner: int
    """Adjacent values: of one channel, or one of each channel."""
    last: bool

    @property
    def values(self) -> int:
        """Per channel."""
        return self.rows if self.last else self.rows * self.inner

    @property
    def size(self) -> int:
        return self.values * self.channels


@dataclass(frozen=True)
class Tiling:
    """Tiles of rows x columns, and how many programs share a channel, or a block of as many channels as columns."""

    tile_rows: int
    tile_cols: int
    blocks: int
    """Of channels: channels first, each is one."""
    tiles: int
    """In a block."""
    parts: int
    """Programs that share a block."""
    chunk: int
    """Of how many programs one reads the parts at once: 1 where there is one."""
    warps: int


@dataclass(frozen=True)
class Plan:
    """forward, backward: on the chip; None where x, or x and dy, are too large to be kept."""

    layout: Layout
    forward: Tiling | None
    backward: Tiling | None
    collected: Tiling
    lanes: bool
    """Whether what is collected is added up in each place of the tile, and not tile by tile."""
    applied: Tiling


@lru_cache(maxsize=1024)
def plan(layout: Layout, dtype: torch.dtype, chip: Chip) -> Plan:
    lanes = layout.last and dtype.itemsize == 2
    return Plan(
        layout,
        forward=on_chip(layout, dtype, chip, arrays=1),
        backward=on_chip(layout, dtype, chip, arrays=2),
        collected=collected(layout, chip, lanes),
        lanes=lanes,
        applied=passed(layout, chip.applied_last if layout.last else chip.passed, chip),
    )


def on_chip(layout: Layout, dtype: torch.dtype, chip: Chip, arrays: int) -> Tiling | None:
    """Tiles of which all are kept: a block has no more of them than the GPU has multiprocessors.

    Where there are channels enough for all of these, a larger tile is better than programs that wait for each other.
    """
    wide = 2 if dtype == torch.float64 else 1
    most = chip.kept // (arrays if layout.last else 1) // wide
    even = power_of_two(math.ceil(layout.size / chip.multiprocessors))  # to every multiprocessor its share
    size = min(max(even, 2 * chip.least), most)
    alone = not layout.last and layout.channels >= chip.multiprocessors and power_of_two(layout.values) <= chip.kept
    while size <= 2 * chip.kept // wide:
        chosen = tiles_last(layout, dtype, size, chip) if layout.last else tiles_first(layout, size, chip)
        fits = chosen.parts <= chip.multiprocessors and chip.keeps(layout)
        if chosen.parts == 1 or (fits and not alone):
            return chosen
        size *= 2
    return None


def tiles_first(layout: Layout, size: int, chip: Chip) -> Tiling:
    """Of a channel, of `size` values: the shape that leaves the least of them empty, long rows rather than short."""

    def rows_of(cols: int) -> int:
        return max(min(size // cols, power_of_two(layout.rows)), min(chip.least, size) // cols, 1)

    def cost(cols: int) -> float:
        rows = rows_of(cols)
        padded = math.ceil(layout.rows / rows) * rows * math.ceil(layout.inner / cols) * cols
        return padded * (1 + 8 / cols)

    cols = min((1 << power for power in range(4, size.bit_length())), key=cost)
    return tiling(layout, rows_of(cols), cols)


def tiles_last(layout: Layout, dtype: torch.dtype, size: int, chip: Chip) -> Tiling:
    """Of a block of channels: a program of its own for each where that fits, so that nobody waits; else wide ones."""
    wide = min(power_of_two(layout.channels), WIDE)
    narrow = min(wide, SECTOR // dtype.itemsize)
    if power_of_two(layout.rows) * narrow <= chip.kept // 2:
        return tiling(layout, max(power_of_two(layout.rows), 2 * chip.least // narrow), narrow)
    cols = wide
    while cols > narrow and math.ceil(layout.rows / (size // cols)) > chip.multiprocessors:
        cols //= 2
    return tiling(layout, size // cols, cols)


def collected(layout: Layout, chip: Chip, lanes: bool) -> Tiling:
    """For a pass that sums up: several programs for each multiprocessor, each with many tiles."""
    shape = passed(layout, chip.collected_last if layout.last and not lanes else chip.passed, chip)
    programs = chip.multiprocessors * WARPS // shape.warps
    return tiling(layout, shape.tile_rows, shape.tile_cols, parts=min(shape.tiles, math.ceil(programs / shape.blocks)))


def passed(layout: Layout, most: int, chip: Chip) -> Tiling:
    """For a pass that changes every value: a program for each tile."""
    size = min(most, max(2 * chip.least, power_of_two(layout.size)))
    if not layout.last:
        return tiles_first(layout, size, chip)
    cols = min(power_of_two(layout.channels), WIDE)
    return tiling(layout, max(size // cols, 1), cols)


def tiling(layout: Layout, rows: int, cols: int, parts: int | None = None) -> Tiling:
    """parts: as many as there are tiles where that is None."""
    down, across = math.ceil(layout.rows / rows), math.ceil(layout.inner / cols)
    blocks, tiles = (across, down) if layout.last else (layout.channels, down * across)
    parts = tiles if parts is None else parts
    chunk = min(power_of_two(parts), READ_AT_ONCE // (cols if layout.last else 1))
    warps = min(max(rows * cols // 512, 1), 16 if rows * cols > 8192 else 8)  # 16 values a thread, or 32
    return Tiling(rows, cols, blocks, tiles, parts, chunk, warps)


def power_of_two(n: int) -> int:
    """The least that is not below n."""
    return 1 << max(n - 1, 0).bit_length()
