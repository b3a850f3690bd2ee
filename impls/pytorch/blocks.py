"""Arrays of x's shape as rows, and these in blocks that stay in a cache while several operations go over them.

A layer is bound by memory. Plain operations over all of x fetch it from there each time; over a block of it they find
it in the cache of the core that has just read it.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from impls.pytorch.pages import is_plain
from reference.conventions import Conventions

BLOCK = 2**18
"""Values of a block, for each thread."""
LEAST, MOST = 1 << 17, 1 << 26
"""Bytes of intermediate values for which memory is kept."""
FEW = 64
"""Channels up to which neighbours are joined."""
LANES = 256
"""So many values at most are then side by side."""


def rows_of(like: Tensor, conventions: Conventions) -> Rows:
    """like: without gaps in memory, and not empty."""
    threads = torch.get_num_threads() if like.is_cpu else 1
    at_once = BLOCK * threads if like.is_cpu else like.numel()
    return rows_in(like.shape, like.stride(), conventions.channel_axis % like.ndim, at_once, threads)


class Rows:
    """How arrays are gone through, in the order of the memory: as rows (R, L) where the channels lie side by side, else
    as (R, C, inner); and either in blocks of rows, or of parts of a row that is longer than a block.

    L is all channels of one or more neighbours. Where channels are few, PyTorch goes through an operation with numbers
    per channel in runs as short as that: joined neighbours make them longer.
    """

    def __init__(self, shape: Sequence[int], strides: Sequence[int], axis: int, at_once: int, threads: int) -> None:
        order = sorted(range(len(shape)), key=lambda i: -strides[i])
        inner = math.prod(shape[i] for i in order[order.index(axis) + 1 :])
        self.order = None if order == list(range(len(shape))) else order
        self.channels = shape[axis]
        self.values = math.prod(shape) // self.channels
        """Of a channel."""
        self.joined = joined(self.values, self.channels) if inner == 1 else 0
        """Neighbours in a row; 0 where channels do not lie side by side."""
        if self.joined:
            self.shape: tuple[int, ...] = self.values // self.joined, self.joined * self.channels
        else:
            self.shape = self.values // inner, self.channels, inner
        row = math.prod(self.shape[1:])
        self.threads = threads
        self.at_once = max(1, at_once // row)
        """Rows of a block: where channels lie side by side, as many for each thread."""
        if self.joined and self.at_once > threads:
            self.at_once -= self.at_once % threads
        self.parts = 1 if self.joined else min(self.channels, max(1, row // at_once))
        """Blocks of a row."""
        self.are_one = self.parts == 1 and self.at_once >= self.shape[0]
        """Whether all rows are one block."""

    def of(self, array: Tensor) -> Tensor:
        """A view; of a copy where the array has another memory format."""
        return (array if self.order is None else array.permute(self.order)).reshape(self.shape)

    def blocks(self, rows: Tensor) -> Sequence[Tensor]:
        blocks = rows.split(self.at_once)
        return blocks if self.parts == 1 else [part for block in blocks for part in block.chunk(self.parts, 1)]

    def over(self, values: Tensor) -> Tensor:
        """(C,) in a shape that broadcasts against rows."""
        if self.joined > 1:
            return values.expand(self.joined, -1).reshape(-1)  # (L,)
        return values if self.joined else values.unsqueeze(1)  # (C,) or (C, 1)

    def over_each(self, values: Tensor) -> Sequence[Tensor]:
        """The same for each of the blocks."""
        parts = self.over(values).chunk(self.parts)
        return [*parts] * -(-self.shape[0] // self.at_once)

    def sum(self, rows: Tensor, dtype: torch.dtype) -> Tensor:
        """Of rows or a block over all but the channels: (C,) or those of the block.

        Within each row first, or within the rows of each thread: every other operation gives a thread these rows. So
        does this one, and not channels, whose values the thread would have to fetch from another core.
        """
        if not self.joined:
            return rows.sum(2, dtype=dtype).sum(0)
        if self.threads > 1 and len(rows) % self.threads == 0:
            total = rows.view(self.threads, -1, rows.shape[1]).sum(1, dtype=dtype).sum(0)
        else:
            total = rows.sum(0, dtype=dtype)
        return total if self.joined == 1 else total.view(self.joined, self.channels).sum(0)

    def total(self, sums: list[Tensor]) -> Tensor:
        """(C,) of the sums of the blocks."""
        return torch.cat(sums).view(-1, self.channels).sum(0)


rows_in = lru_cache(maxsize=256)(Rows)


def joined(positions: int, channels: int) -> int:
    return 1 if channels > FEW else next(k for k in range(LANES // channels, 0, -1) if positions % k == 0)


kept = threading.local()


def room_for(block: Tensor, dtype: torch.dtype) -> Tensor | None:
    """Memory for intermediate values of a block, None for new memory. On a CPU a thread's calls are given the same:
    each time new memory would be given back to the system and asked for again, longer than the arithmetic takes.
    """
    size = block.numel() * dtype.itemsize
    if size < LEAST or size > MOST or not is_plain(block):
        return None
    if getattr(kept, "bytes", 0) < size:
        with torch.inference_mode(False):  # else it could not be written to outside of that mode
            kept.memory, kept.bytes = torch.empty(size, dtype=torch.uint8, device="cpu"), size
    return kept.memory[:size].view(dtype).view(block.shape)


def within(room: Tensor | None, block: Tensor) -> Tensor | None:
    """The last block may be shorter than the others, and the last part of a row."""
    return room if room is None or room.shape == block.shape else room[: len(block), : block.shape[1]]
