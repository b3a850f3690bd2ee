"""How the Triton kernels divide x among programs: by its shape, its memory order, and the size of the GPU."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch

SECTOR, LINE = 32, 128
"""Bytes: the least that memory is read by, and what it is best read by."""
CACHED = 16 << 20
"""Bytes of x that the GPU's second-level cache holds with some to spare for y."""
MOST_MERGED = 8192
"""Numbers that the last program puts together at once."""


@dataclass(frozen=True)
class Chip:
    """What the GPU can hold."""

    multiprocessors: int
    kept: int = 8192
    """Values in a tile that a program keeps in registers: float32, 32 for each of 256 threads."""
    passed: int = 4096
    """Values in a tile that a program goes through."""
    least: int = 512
    """Values in a tile at least: a program for fewer is not worth while."""


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
    warps: int

    @property
    def most_parts(self) -> int:
        return power_of_two(self.parts)


@dataclass(frozen=True)
class Plan:
    """on_chip: None where a channel is too large to be kept. streamed: for passes over what is not kept."""

    layout: Layout
    on_chip: Tiling | None
    streamed: Tiling


@lru_cache(maxsize=1024)
def plan(layout: Layout, dtype: torch.dtype, chip: Chip) -> Plan:
    return Plan(layout, on_chip(layout, dtype, chip), streamed(layout, dtype, chip))


def on_chip(layout: Layout, dtype: torch.dtype, chip: Chip) -> Tiling | None:
    """Tiles that are all kept at once: a block has no more of them than the GPU has multiprocessors."""
    most = chip.kept // 2 if dtype == torch.float64 else chip.kept
    even = power_of_two(math.ceil(layout.size / chip.multiprocessors))  # to every multiprocessor its share
    size = min(max(even, 2 * chip.least), most)
    while size <= 2 * most:
        tiling = tiles_last(layout, dtype, size, chip) if layout.last else tiles_first(layout, size, chip)
        if tiling.parts <= chip.multiprocessors:
            return tiling
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
    """Of a block of channels: the widest that fits, narrow ones only where the cache makes up for it."""
    narrow, wide = (min(power_of_two(layout.channels), bytes_ // dtype.itemsize) for bytes_ in (SECTOR, LINE))
    if power_of_two(layout.rows) * narrow <= chip.kept // 2:  # a program of its own for each block: nobody waits
        return tiling(layout, max(power_of_two(layout.rows), 2 * chip.least // narrow), narrow)
    if layout.size * dtype.itemsize > CACHED:
        narrow = wide
    cols = wide
    while cols > narrow and math.ceil(layout.rows / (size // cols)) > chip.multiprocessors:
        cols //= 2
    return tiling(layout, size // cols, cols)


def streamed(layout: Layout, dtype: torch.dtype, chip: Chip) -> Tiling:
    size = min(chip.passed, max(2 * chip.least, power_of_two(layout.size)))
    if not layout.last:
        tiles = tiles_first(layout, size, chip)
    else:
        cols = min(power_of_two(layout.channels), LINE // dtype.itemsize)
        tiles = tiling(layout, size // cols, cols)
    wanted = math.ceil(8 * chip.multiprocessors / tiles.blocks)
    most = MOST_MERGED // (tiles.tile_cols if layout.last else 1)
    return tiling(layout, tiles.tile_rows, tiles.tile_cols, parts=min(tiles.tiles, wanted, most))


def tiling(layout: Layout, rows: int, cols: int, parts: int | None = None) -> Tiling:
    """parts: as many as there are tiles where that is None."""
    down, across = math.ceil(layout.rows / rows), math.ceil(layout.inner / cols)
    blocks, tiles = (across, down) if layout.last else (layout.channels, down * across)
    warps = min(max(rows * cols // 512, 1), 16 if rows * cols > 8192 else 8)  # 16 values a thread, or 32
    return Tiling(rows, cols, blocks, tiles, tiles if parts is None else parts, warps)


def power_of_two(n: int) -> int:
    """The least that is not below n."""
    return 1 << max(n - 1, 0).bit_length()
