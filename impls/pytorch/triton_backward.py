"""Triton kernels of batch normalization, backward, by the closed form (Ioffe and Szegedy 2015, section 3).

dx = gamma * scale * (dy - mean(dy) - x_hat * slope * dgamma/n): two sums per channel, sum(dy) and sum(dy * (x - mean)),
then dx. `gradients_on_chip` reads x and dy once; where they are too large for that, `collect_gradients` and
`input_gradient` read them once each. In prediction mean and scale are constants and one pass is always enough.

Where a sigmoid follows, dy is the gradient of the sigmoid's result: it is made from x again, and nothing more is kept.
"""

# ruff: noqa: RUF059 - what is not used has a name all the same: Triton wants one type for a name
import triton
import triton.language as tl

from impls.pytorch.triton_forward import NUMBERS, normalized
from impls.pytorch.triton_tiles import (
    arrive,
    channels_of,
    divide,
    inverse_std,
    meet,
    number_of_tiles,
    over,
    part_of,
    per_channel,
    sum_parts,
    tile_at,
    variance_slope,
)

SMALL = ("gamma", "beta", "kept", "dgamma", "dbeta", "partials", "counters")
"""Arrays that may start at any address without another variant."""


@triton.jit
def channel(
    gamma, beta, kept, c, exists, channels, eps, EPS_INSIDE: tl.constexpr, SIGMOID: tl.constexpr
):  # fmt: skip
    """(gamma, beta, mean, variance, scale) of channels c. beta is 0 where it is not needed."""
    weight = tl.load(gamma + c, mask=exists, other=0.0)
    shift = tl.zeros_like(weight)
    if SIGMOID:
        shift = tl.load(beta + c, mask=exists, other=0.0)
    average = tl.load(kept + c, mask=exists, other=0.0)
    variance = tl.load(kept + channels + c, mask=exists, other=1.0)
    return weight, shift, average, variance, inverse_std(variance, tl.full((), eps, weight.dtype), EPS_INSIDE)


@triton.jit
def before_sigmoid(tile_dy, tile, average, scale, shift, LAST: tl.constexpr, SIGMOID: tl.constexpr):
    """The gradient of what the sigmoid was taken of. scale: gamma / std."""
    if SIGMOID:
        z = normalized(tile, average, scale, shift, LAST, True)
        tile_dy = tile_dy * (z * (1.0 - z))
    return tile_dy


@triton.jit
def gradient_of(tile_dy, deviations, weight, scale, slope, dgamma, dbeta, n, LAST: tl.constexpr):
    """dx of a tile. deviations: x - mean; dgamma, dbeta: of the whole channel."""
    by_mean = divide(dbeta, n)
    by_var = divide(scale * slope * dgamma, n)
    return (tile_dy - (deviations * over(by_var, LAST) + over(by_mean, LAST))) * over(weight * scale, LAST)


@triton.jit(do_not_specialize=NUMBERS, do_not_specialize_on_alignment=SMALL)
def gradients_on_chip(
    x, dy, dx, gamma, beta, kept, dgamma, dbeta, partials, counters,
    rows, channels, inner, parts,
    values: tl.float64, eps: tl.float64,
    LAST: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr, CHUNK: tl.constexpr, WIDE: tl.constexpr,
    EPS_INSIDE: tl.constexpr, SIGMOID: tl.constexpr, WAIT: tl.constexpr,
):  # fmt: skip
    """Grid: blocks of channels * parts, a tile each. values: per channel. CHUNK: parts read at once; 1: just one."""
    block = tl.program_id(0) // parts
    part = tl.program_id(0) % parts
    c, exists = channels_of(block, channels, LAST, COLS)
    weight, shift, average, variance, scale = channel(gamma, beta, kept, c, exists, channels, eps, EPS_INSIDE, SIGMOID)
    offsets, mask, _ = tile_at(part, block, rows, channels, inner, LAST, ROWS, COLS, WIDE)
    tile = tl.load(x + offsets, mask=mask, other=0.0).to(weight.dtype)
    tile_dy = tl.load(dy + offsets, mask=mask, other=0.0).to(weight.dtype)  # 0 off the mask: nothing of it is added
    tile_dy = before_sigmoid(tile_dy, tile, average, weight * scale, shift, LAST, SIGMOID)
    deviations = tile - over(average, LAST)
    sum_dy = per_channel(tile_dy, LAST)
    sum_product = per_channel(tile_dy * deviations, LAST)
    if CHUNK > 1:
        tl.store(partials + part_of(0, part, c, parts, channels), sum_dy, mask=exists)
        tl.store(partials + part_of(1, part, c, parts, channels), sum_product, mask=exists)
        meet(counters, block, parts, WAIT)
        sum_dy = sum_parts(partials, 0, average, c, exists, parts, channels, LAST, CHUNK)
        sum_product = sum_parts(partials, 1, average, c, exists, parts, channels, LAST, CHUNK)
    slope = variance_slope(variance, scale, EPS_INSIDE)
    product = sum_product * scale
    n = tl.full((), values, weight.dtype)
    result = gradient_of(tile_dy, deviations, weight, scale, slope, product, sum_dy, n, LAST)
    tl.store(dx + offsets, result.to(dx.dtype.element_ty), mask=mask)
    if part == 0:
        tl.store(dgamma + c, product, mask=exists)
        tl.store(dbeta + c, sum_dy, mask=exists)


@triton.jit(do_not_specialize=NUMBERS, do_not_specialize_on_alignment=SMALL)
def collect_gradients(
    x, dy, dx, gamma, beta, kept, dgamma, dbeta, partials, counters,
    rows, channels, inner, parts,
    eps: tl.float64,
    LAST: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr, CHUNK: tl.constexpr, WIDE: tl.constexpr,
    LANES: tl.constexpr, EPS_INSIDE: tl.constexpr, SIGMOID: tl.constexpr, PREDICTION: tl.constexpr,
):  # fmt: skip
    """dgamma and dbeta; in prediction dx as well. The grid and its order are those of `collect_statistics`."""
    blocks = tl.num_programs(0) // parts
    block = tl.program_id(0) % blocks
    part = tl.program_id(0) // blocks
    c, exists = channels_of(block, channels, LAST, COLS)
    weight, shift, average, variance, scale = channel(gamma, beta, kept, c, exists, channels, eps, EPS_INSIDE, SIGMOID)
    tiles = number_of_tiles(rows, inner, LAST, ROWS, COLS)
    if LANES:  # in each place of the tile, else per channel
        sum_dy = tl.zeros((ROWS, COLS), weight.dtype)
        sum_product = tl.zeros((ROWS, COLS), weight.dtype)
    else:
        sum_dy = tl.zeros_like(average)
        sum_product = tl.zeros_like(average)
    for t in range(part, tiles, parts):
        offsets, mask, count = tile_at(t, block, rows, channels, inner, LAST, ROWS, COLS, WIDE)
        tile = tl.load(x + offsets, mask=mask, other=0.0).to(weight.dtype)
        tile_dy = tl.load(dy + offsets, mask=mask, other=0.0).to(weight.dtype)
        tile_dy = before_sigmoid(tile_dy, tile, average, weight * scale, shift, LAST, SIGMOID)
        product = tile_dy * (tile - over(average, LAST))  # as tile_dy, 0 off the mask
        if LANES:
            sum_dy += tile_dy
            sum_product += product
        else:
            sum_dy += per_channel(tile_dy, LAST)
            sum_product += per_channel(product, LAST)
        if PREDICTION:
            result = tile_dy * over(weight * scale, LAST)
            tl.store(dx + offsets, result.to(dx.dtype.element_ty), mask=mask)
    if LANES:
        sum_dy = per_channel(sum_dy, LAST)
        sum_product = per_channel(sum_product, LAST)
    if CHUNK == 1:
        tl.store(dgamma + c, sum_product * scale, mask=exists)
        tl.store(dbeta + c, sum_dy, mask=exists)
    else:
        tl.store(partials + part_of(0, part, c, parts, channels), sum_dy, mask=exists)
        tl.store(partials + part_of(1, part, c, parts, channels), sum_product, mask=exists)
        if arrive(counters, block) == parts - 1:
            sum_product = sum_parts(partials, 1, average, c, exists, parts, channels, LAST, CHUNK)
            tl.store(dgamma + c, sum_product * scale, mask=exists)
            tl.store(dbeta + c, sum_parts(partials, 0, average, c, exists, parts, channels, LAST, CHUNK), mask=exists)
            tl.store(counters + 2 * block, 0)


@triton.jit(do_not_specialize=NUMBERS, do_not_specialize_on_alignment=SMALL)
def input_gradient(
    x, dy, dx, gamma, beta, kept, dgamma, dbeta,
    rows, channels, inner,
    values: tl.float64, eps: tl.float64,
    LAST: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr, WIDE: tl.constexpr,
    EPS_INSIDE: tl.constexpr, SIGMOID: tl.constexpr,
):  # fmt: skip
    """dx in training. The grid and its order are those of `normalize`."""
    tiles = number_of_tiles(rows, inner, LAST, ROWS, COLS)
    blocks = tl.num_programs(0) // tiles
    block = tl.program_id(0) % blocks
    t = tiles - 1 - tl.program_id(0) // blocks
    offsets, mask, _ = tile_at(t, block, rows, channels, inner, LAST, ROWS, COLS, WIDE)
    tile = tl.load(x + offsets, mask=mask, other=0.0)
    tile_dy = tl.load(dy + offsets, mask=mask, other=0.0)
    c, exists = channels_of(block, channels, LAST, COLS)
    weight, shift, average, variance, scale = channel(gamma, beta, kept, c, exists, channels, eps, EPS_INSIDE, SIGMOID)
    product = tl.load(dgamma + c, mask=exists, other=0.0)
    sum_dy = tl.load(dbeta + c, mask=exists, other=0.0)
    tile = tile.to(weight.dtype)
    tile_dy = before_sigmoid(tile_dy.to(weight.dtype), tile, average, weight * scale, shift, LAST, SIGMOID)
    slope = variance_slope(variance, scale, EPS_INSIDE)
    n = tl.full((), values, weight.dtype)
    deviations = tile - over(average, LAST)
    result = gradient_of(tile_dy, deviations, weight, scale, slope, product, sum_dy, n, LAST)
    tl.store(dx + offsets, result.to(dx.dtype.element_ty), mask=mask)
