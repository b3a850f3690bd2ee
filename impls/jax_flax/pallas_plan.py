"""How the Pallas kernels divide x among programs: by its shape and the width of the arithmetic. Nothing is imported.

The sizes are those that `../pytorch/triton_plan.py` found on an H200. For these kernels nobody has measured any.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

NARROW = 8
"""Channels in a tile at least, where they are last and so many: a sector of 32 bytes."""
PROGRAMS = 512
"""As many as there are tiles for, up to this, when x is added up: where channels are few, they share the batch."""
IN_A_ROW = 16
"""Tiles that a program adds up one after the other at most, so that sums stay pairwise: see `Tiling.additions`."""
LARGEST = 2**30
"""Values of x: more of one channel would need more parts than the 65,535 programs along a CUDA grid's second axis."""


@dataclass(frozen=True)
class Chip:
    """What a program can hold. Powers of two."""

    kept: int = 8192
    """Values in float32 that it keeps in registers: 32 for each of 256 threads."""
    summed: int = 2048
    """Values in a tile that it only adds up."""
    wide: int = 32
    """Channels in a tile at most, where they are last."""


Kernels = bool | Chip | None
"""Whether to take the kernels. False: never. None: on a GPU, where they are faster. True: wherever they can; a Chip:
with tiles of its sizes."""


@dataclass(frozen=True)
class Layout:
    """x as (rows, channels, inner), or as (rows, channels) where the channels are `last` and inner is 1."""

    rows: int
    channels: int
    inner: int

    @property
    def last(self) -> bool:
        return self.inner == 1

    @property
    def values(self) -> int:
        """Per channel."""
        return self.rows * self.inner

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.rows, self.channels) if self.last else (self.rows, self.channels, self.inner)


@dataclass(frozen=True)
class Tiling:
    """Tiles of powers of two: (tile_rows, tile_cols). Channels last, columns are channels; else values of one channel.

    blocks: of channels, tile_cols of them or one. tiles: in a block. parts: programs that share a block.
    """

    tile_rows: int
    tile_cols: int
    blocks: int
    tiles: int
    parts: int
    last: bool

    @property
    def in_a_row(self) -> int:
        """Tiles of a program, the last ones perhaps beyond x."""
        return math.ceil(self.tiles / self.parts)

    @property
    def warps(self) -> int:
        return min(max(self.tile_rows * self.tile_cols // 512, 1), 8)

    @property
    def channels(self) -> int:
        """In a block."""
        return self.tile_cols if self.last else 1

    @property
    def additions(self) -> int:
        """In which one value takes part: to a program's earlier tiles, then in pairs within a tile and over parts."""
        in_a_tile = self.tile_rows if self.last else self.tile_rows * self.tile_cols
        return self.in_a_row - 1 + levels(in_a_tile) + levels(self.parts)


def layout_of(shape: tuple[int, ...], axis: int) -> Layout:
    axis %= len(shape)
    return Layout(math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :]))


def on_chip(layout: Layout, chip: Chip, itemsize: int, arrays: int) -> Tiling | None:
    """A program for a block of channels, which keeps all their values of so many arrays; None where they are too many.

    itemsize: bytes of a number of the arithmetic.
    """
    most = chip.kept * 4 // itemsize // arrays
    rows = power_of_two(layout.rows)
    if not layout.last:
        cols = power_of_two(layout.inner)
        return Tiling(rows, cols, layout.channels, 1, 1, last=False) if rows * cols <= most else None
    cols = min(chip.wide, power_of_two(layout.channels), most // rows)
    if cols < min(NARROW, chip.wide, layout.channels):
        return None
    return Tiling(rows, cols, math.ceil(layout.channels / cols), 1, 1, last=True)


def in_parts(layout: Layout, chip: Chip) -> Tiling:
    """Programs that add up a part of the values of a block of channels each."""
    cols = min(power_of_two(layout.channels), chip.wide) if layout.last else power_of_two(layout.inner)
    cols = min(cols, chip.summed)
    rows = min(power_of_two(layout.rows), chip.summed // cols)
    down = math.ceil(layout.rows / rows)
    blocks = math.ceil(layout.channels / cols) if layout.last else layout.channels
    tiles = down if layout.last else down * math.ceil(layout.inner / cols)
    parts = max(min(tiles, math.ceil(PROGRAMS / blocks)), math.ceil(tiles / IN_A_ROW))
    parts = math.ceil(tiles / math.ceil(tiles / parts))  # those that have work
    return Tiling(rows, cols, blocks, tiles, parts, layout.last)


def power_of_two(n: int) -> int:
    """The least that is not below n."""
    return 1 << levels(n)


def levels(n: int) -> int:
    """log2 n, rounded up: how often n numbers are halved until there is one."""
    return max(n - 1, 0).bit_length()
