"""Triton kernels of batch normalization, forward: y = gamma * (x - mean) * scale + beta, or the sigmoid of that.

`normalize_on_chip` reads x once: each program keeps its tile, and those of a channel exchange their statistics. Where
x is too large for that, `collect_statistics` and `normalize` read it once each: the second in the opposite order, so
that the cache still has what the first read last.

`kept` is what backward needs: C means, then C variances.
"""

import triton
import triton.language as tl

from impls.pytorch.triton_tiles import (
    arrive,
    channels_of,
    divide,
    inverse_std,
    meet,
    merge,
    merge_all,
    number_of_tiles,
    over,
    part_of,
    tile_at,
    tile_statistics,
)

NUMBERS = ("rows", "channels", "parts")
"""Integers of which no variant is compiled for multiples of 16 or for 1."""
SMALL = ("gamma", "beta", "mean", "var", "kept", "moving_mean", "moving_var", "updates", "partials", "counters")
"""Arrays that may start at any address without another variant."""


@triton.jit
def store_statistics(
    average, variance, c, exists, channels, kept, moving_mean, moving_var, updates, momentum, bessel, is_first,
    KEEPS: tl.constexpr, UPDATE: tl.constexpr,
):  # fmt: skip
    """Store mean and variance for backward; move the moving statistics. KEEPS: momentum is the weight of the old."""
    tl.store(kept + c, average, mask=exists)
    tl.store(kept + channels + c, variance, mask=exists)
    if UPDATE:
        given = tl.full((), momentum, average.dtype)
        rest = 1.0 - given
        if KEEPS:
            keep, new = given, rest
        else:
            keep, new = rest, given
        averaged = variance * tl.full((), bessel, average.dtype)
        old_mean = tl.load(moving_mean + c, mask=exists, other=0.0)
        old_var = tl.load(moving_var + c, mask=exists, other=0.0)
        tl.store(moving_mean + c, keep * old_mean + new * average, mask=exists)
        tl.store(moving_var + c, keep * old_var + new * averaged, mask=exists)
        if is_first:
            tl.store(updates, tl.load(updates) + 1)


@triton.jit
def normalized(tile, average, scale, shift, LAST: tl.constexpr, SIGMOID: tl.constexpr):
    """scale: gamma / std. From x - mean, never x * a + b: that cancels where the mean is large against std."""
    result = (tile - over(average, LAST)) * over(scale, LAST) + over(shift, LAST)
    if SIGMOID:
        result = tl.sigmoid(result)
    return result


@triton.jit(do_not_specialize=NUMBERS, do_not_specialize_on_alignment=SMALL)
def normalize_on_chip(
    x, y, gamma, beta, kept, moving_mean, moving_var, updates, partials, counters,
    rows, channels, inner, parts,
    values: tl.float64, eps: tl.float64, momentum: tl.float64, bessel: tl.float64,
    LAST: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr, CHUNK: tl.constexpr, WIDE: tl.constexpr,
    EPS_INSIDE: tl.constexpr, SIGMOID: tl.constexpr, KEEPS: tl.constexpr, UPDATE: tl.constexpr, WAIT: tl.constexpr,
):  # fmt: skip
    """Grid: blocks of channels * parts, a tile each. values: per channel. CHUNK: parts read at once; 1: just one."""
    block = tl.program_id(0) // parts
    part = tl.program_id(0) % parts
    c, exists = channels_of(block, channels, LAST, COLS)
    weight = tl.load(gamma + c, mask=exists, other=0.0)
    shift = tl.load(beta + c, mask=exists, other=0.0)
    n = tl.full((), values, weight.dtype)
    offsets, mask, count = tile_at(part, block, rows, channels, inner, LAST, ROWS, COLS, WIDE)
    tile = tl.load(x + offsets, mask=mask, other=0.0).to(weight.dtype)
    if CHUNK == 1:
        average, m2 = tile_statistics(tile, mask, n, LAST)
    else:
        own = count.to(weight.dtype)
        average, m2 = tile_statistics(tile, mask, own, LAST)
        tl.store(partials + part_of(0, part, c, parts, channels), average, mask=exists)
        tl.store(partials + part_of(1, part, c, parts, channels), m2, mask=exists)
        tl.store(partials + part_of(2, part, c, parts, channels), own, mask=exists)
        meet(counters, block, parts, WAIT)
        average, m2 = merge_all(partials, m2, c, exists, n, parts, channels, LAST, CHUNK)
    variance = divide(m2, n)
    scale = weight * inverse_std(variance, tl.full((), eps, weight.dtype), EPS_INSIDE)
    result = normalized(tile, average, scale, shift, LAST, SIGMOID)
    tl.store(y + offsets, result.to(y.dtype.element_ty), mask=mask)
    if part == 0:
        store_statistics(
            average, variance, c, exists, channels, kept, moving_mean, moving_var, updates, momentum, bessel,
            block == 0, KEEPS, UPDATE,
        )  # fmt: skip


@triton.jit
def merged_tiles(
    x, part, parts, block, rows, channels, inner, dtype: tl.constexpr,
    LAST: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """(values, mean, sum of squared deviations) of every parts-th tile: each by two passes, then merged."""
    tiles = number_of_tiles(rows, inner, LAST, ROWS, COLS)
    offsets, mask, count = tile_at(part, block, rows, channels, inner, LAST, ROWS, COLS, WIDE)
    seen = count.to(dtype)
    tile = tl.load(x + offsets, mask=mask, other=0.0).to(dtype)
    average, m2 = tile_statistics(tile, mask, seen, LAST)
    for t in range(part + parts, tiles, parts):
        offsets, mask, count = tile_at(t, block, rows, channels, inner, LAST, ROWS, COLS, WIDE)
        tile = tl.load(x + offsets, mask=mask, other=0.0).to(dtype)
        own = count.to(dtype)
        tile_mean, tile_m2 = tile_statistics(tile, mask, own, LAST)
        seen, average, m2 = merge(seen, average, m2, own, tile_mean, tile_m2)
    return seen, average, m2


@triton.jit
def merged_lanes(
    x, part, parts, block, rows, channels, inner, dtype: tl.constexpr,
    ROWS: tl.constexpr, COLS: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """The same by Welford's updates in each place of the tile, then merged: for 16 bits with the channels last.

    Only the last tile of all has rows that there are not, so that all that there are have seen as many values.
    """
    tiles = number_of_tiles(rows, inner, True, ROWS, COLS)
    means = tl.zeros((ROWS, COLS), dtype)
    m2s = tl.zeros((ROWS, COLS), dtype)
    counts = tl.zeros((ROWS,), tl.int32)
    seen = tl.full((), 0, tl.int32)
    for t in range(part, tiles, parts):
        offsets, mask, count = tile_at(t, block, rows, channels, inner, True, ROWS, COLS, WIDE)
        tile = tl.load(x + offsets, mask=mask, other=0.0).to(dtype)
        seen += 1
        deltas = tl.where(mask, tile - means, 0.0)
        means += deltas * divide(tl.full((), 1.0, dtype), seen.to(dtype))
        m2s += deltas * (tile - means)
        counts += (tl.arange(0, ROWS) < count).to(tl.int32)
    weights = counts.to(dtype)[:, None]
    n = tl.sum(counts).to(dtype)
    average = divide(tl.sum(weights * means, 0), n)
    deltas = tl.where(weights > 0, means - average[None, :], 0.0)
    return n, average, tl.sum(m2s + weights * deltas * deltas, 0)


@triton.jit(do_not_specialize=NUMBERS, do_not_specialize_on_alignment=SMALL)
def collect_statistics(
    x, kept, moving_mean, moving_var, updates, partials, counters,
    rows, channels, inner, parts,
    values: tl.float64, momentum: tl.float64, bessel: tl.float64,
    LAST: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr, CHUNK: tl.constexpr, WIDE: tl.constexpr,
    LANES: tl.constexpr, KEEPS: tl.constexpr, UPDATE: tl.constexpr,
):  # fmt: skip
    """Grid: blocks of channels * parts. A program goes through every parts-th tile; the last one puts all together."""
    blocks = tl.num_programs(0) // parts
    block = tl.program_id(0) % blocks
    part = tl.program_id(0) // blocks
    c, exists = channels_of(block, channels, LAST, COLS)
    dtype: tl.constexpr = kept.dtype.element_ty
    if LANES:
        seen, average, m2 = merged_lanes(x, part, parts, block, rows, channels, inner, dtype, ROWS, COLS, WIDE)
    else:
        seen, average, m2 = merged_tiles(x, part, parts, block, rows, channels, inner, dtype, LAST, ROWS, COLS, WIDE)
    n = tl.full((), values, dtype)
    if CHUNK == 1:
        store_statistics(
            average, divide(m2, n), c, exists, channels, kept, moving_mean, moving_var, updates, momentum, bessel,
            block == 0, KEEPS, UPDATE,
        )  # fmt: skip
    else:
        tl.store(partials + part_of(0, part, c, parts, channels), average, mask=exists)
        tl.store(partials + part_of(1, part, c, parts, channels), m2, mask=exists)
        tl.store(partials + part_of(2, part, c, parts, channels), seen, mask=exists)
        if arrive(counters, block) == parts - 1:
            average, m2 = merge_all(partials, m2, c, exists, n, parts, channels, LAST, CHUNK)
            store_statistics(
                average, divide(m2, n), c, exists, channels, kept, moving_mean, moving_var, updates, momentum, bessel,
                block == 0, KEEPS, UPDATE,
            )  # fmt: skip
            tl.store(counters + 2 * block, 0)


@triton.jit(do_not_specialize=NUMBERS, do_not_specialize_on_alignment=SMALL)
def normalize(
    x, y, gamma, beta, mean, var, kept,
    rows, channels, inner,
    eps: tl.float64,
    LAST: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr, WIDE: tl.constexpr, EPS_INSIDE: tl.constexpr,
    SIGMOID: tl.constexpr, KEEP: tl.constexpr,
):  # fmt: skip
    """Grid: tiles * blocks of channels, a tile each, the last tiles first.

    KEEP: copy the statistics, in prediction, where they may have moved when backward needs them.
    """
    tiles = number_of_tiles(rows, inner, LAST, ROWS, COLS)
    blocks = tl.num_programs(0) // tiles
    block = tl.program_id(0) % blocks
    t = tiles - 1 - tl.program_id(0) // blocks
    offsets, mask, _ = tile_at(t, block, rows, channels, inner, LAST, ROWS, COLS, WIDE)
    tile = tl.load(x + offsets, mask=mask, other=0.0)
    c, exists = channels_of(block, channels, LAST, COLS)
    weight = tl.load(gamma + c, mask=exists, other=0.0)
    shift = tl.load(beta + c, mask=exists, other=0.0)
    average = tl.load(mean + c, mask=exists, other=0.0)
    variance = tl.load(var + c, mask=exists, other=1.0)
    scale = weight * inverse_std(variance, tl.full((), eps, weight.dtype), EPS_INSIDE)
    result = normalized(tile.to(weight.dtype), average, scale, shift, LAST, SIGMOID)
    tl.store(y + offsets, result.to(y.dtype.element_ty), mask=mask)
    if KEEP and t == 0:
        tl.store(kept + c, average, mask=exists)
        tl.store(kept + channels + c, variance, mask=exists)
