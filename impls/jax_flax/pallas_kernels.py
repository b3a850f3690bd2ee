"""The Pallas kernels of batch normalization, for GPUs by way of Triton; on a CPU JAX interprets them.

They have never run on a GPU. That they lower for one, and that Triton compiles what they are lowered to, is tested.

A program has a block of channels: one where x is (rows, channels, inner), some neighbours where it is (rows, channels).
A tile is a matrix, and a number per channel is (1, 1) or (1, K) beside it. Sizes of tiles are powers of two; what lies
beyond x is read as 0 and not written. Arithmetic is in the dtype of gamma: at least float32.

All sums are made in pairs, in an order that is written out: `lax.split` and an addition, which no compiler may
reorder. Divisions by n are products with 1/n, and 1/std is a reciprocal root: Triton's division in float32 errs by two
ulps, more than ../../reference/ERROR_BOUNDS.md allows.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton as pallas_triton

from impls.jax_flax.paired_sums import add_in_pairs
from impls.jax_flax.pallas_plan import Layout, Tiling

# --- tiles ---


def tile_at(layout: Layout, tiling: Tiling, block, tile):
    """(where it lies, which of it there is)."""
    rows, cols = tiling.tile_rows, tiling.tile_cols
    across = 1 if layout.last else pl.cdiv(layout.inner, cols)
    first_row = index(tile // across * rows)
    first_col = index(block * cols if layout.last else tile % across * cols)
    row = first_row + lax.broadcasted_iota(jnp.int32, (rows, cols), 0)
    col = first_col + lax.broadcasted_iota(jnp.int32, (rows, cols), 1)
    exists = (row < layout.rows) & (col < (layout.channels if layout.last else layout.inner))
    places = pl.ds(first_row, rows), pl.ds(first_col, cols)
    return (places if layout.last else (places[0], block, places[1])), exists


def channels_of(layout: Layout, tiling: Tiling, block):
    """(where the block's numbers per channel lie in (C,), which of them there are)."""
    first = index(block * tiling.channels)
    return pl.ds(first, tiling.channels), first + lax.iota(jnp.int32, tiling.channels) < layout.channels


def index(value):
    """All of one type, whatever x64 says of Python's integers."""
    return jnp.asarray(value, jnp.int32)


def read(array, place, exists, dtype):
    return pallas_triton.load(array.at[place], mask=exists, other=0).astype(dtype)


def write(array, place, exists, value):
    pallas_triton.store(array.at[place], value.astype(array.dtype), mask=exists)


def per_channel(tile, last: bool):
    """The sum of a tile -> (1, K), or (1, 1)."""
    if not last:
        tile = tile.reshape(-1, 1)
    while len(tile) > 1:
        first, second = lax.split(tile, [len(tile) // 2] * 2, 0)
        tile = first + second
    return tile


def number(value, like):
    """A constant of the arithmetic's dtype: a Python float would be another's under x64."""
    return np.asarray(value, like.dtype)


# --- a program that keeps all of a channel ---


def normalize_on_chip(x, gamma, beta, eps, y, mean, var, *, layout: Layout, tiling: Tiling):
    """y, (C,), (C,): two passes over a tile that is read once. Grid: blocks of channels."""
    block = pl.program_id(0)
    place, exists = tile_at(layout, tiling, block, 0)
    channels, there = channels_of(layout, tiling, block)
    own_gamma, own_beta = (read(array, channels, there, gamma.dtype)[None] for array in (gamma, beta))  # (1, K)
    values = read(x, place, exists, gamma.dtype)
    share = number(1 / layout.values, gamma)
    own_mean = per_channel(values, layout.last) * share  # (1, K)
    centered = jnp.where(exists, values - own_mean, 0)
    own_var = per_channel(centered * centered, layout.last) * share  # (1, K)
    gain = own_gamma * lax.rsqrt(own_var + eps[...][None])  # (1, K)
    write(y, place, exists, centered * gain + own_beta)
    write(mean, channels, there, own_mean[0])
    write(var, channels, there, own_var[0])


def gradients_on_chip(x, dy, gamma, mean, var, eps, dx, dgamma, dbeta, *, layout: Layout, tiling: Tiling):
    """x's shape, (C,), (C,): both sums and dx, of x and dy that are read once. Grid: blocks of channels."""
    block = pl.program_id(0)
    place, exists = tile_at(layout, tiling, block, 0)
    channels, there = channels_of(layout, tiling, block)
    own_gamma, own_mean, own_var = (read(array, channels, there, gamma.dtype)[None] for array in (gamma, mean, var))
    own_dy = read(dy, place, exists, gamma.dtype)
    centered = jnp.where(exists, read(x, place, exists, gamma.dtype) - own_mean, 0)
    scale = lax.rsqrt(own_var + eps[...][None])  # (1, K)
    own_dbeta = per_channel(own_dy, layout.last)  # (1, K)
    own_dgamma = scale * per_channel(own_dy * centered, layout.last)  # (1, K)
    write(dx, place, exists, input_gradient(own_dy, centered, own_gamma, scale, own_dgamma, own_dbeta, layout))
    write(dgamma, channels, there, own_dgamma[0])
    write(dbeta, channels, there, own_dbeta[0])


def input_gradient(dy, centered, gamma, scale, dgamma, dbeta, layout: Layout):
    """dx, in training; what belongs to a channel broadcasts against dy."""
    share = number(1 / layout.values, gamma)
    return gamma * scale * (dy - dbeta * share - centered * scale * (dgamma * share))


def run_on_chip(kernel, arrays, results, layout: Layout, tiling: Tiling, interpret: bool):
    return pl.pallas_call(
        partial(kernel, layout=layout, tiling=tiling),
        grid=(tiling.blocks,),
        out_shape=results,
        interpret=interpret,
        compiler_params=pallas_triton.CompilerParams(num_warps=tiling.warps),
    )(*arrays)


# --- programs that share a channel ---


def values(x):
    return (x,)


def squared_deviations(x, mean):
    return (jnp.square(x - mean),)


def gradient_terms(x, dy, mean):
    """For dgamma / scale, and for dbeta."""
    return dy * (x - mean), dy


def add_up(*arrays, terms, tiles: int, sums: int, layout: Layout, tiling: Tiling):
    """The sums of `terms` over a program's tiles. Grid: blocks of channels, parts.

    arrays: `tiles` of x's shape, then (C,) ones, then as many `sums`, (parts, C).
    """
    block, part = pl.program_id(0), pl.program_id(1)
    given, numbers, results = arrays[:tiles], arrays[tiles:-sums], arrays[-sums:]
    dtype = results[0].dtype
    channels, there = channels_of(layout, tiling, block)
    own = [read(array, channels, there, dtype)[None] for array in numbers]  # (1, K)

    def with_next(i, totals):
        place, exists = tile_at(layout, tiling, block, part * tiling.in_a_row + i)
        added = terms(*(read(array, place, exists, dtype) for array in given), *own)
        return tuple(before + jnp.where(exists, term, 0) for before, term in zip(totals, added, strict=True))

    none = jnp.zeros((tiling.tile_rows, tiling.tile_cols), dtype)
    totals = lax.fori_loop(np.int32(0), np.int32(tiling.in_a_row), with_next, (none,) * sums)
    for array, of_tiles in zip(results, totals, strict=True):
        write(array, (part, channels), there, per_channel(of_tiles, layout.last)[0])


def sums_of(terms, given, numbers, sums: int, dtype, layout: Layout, tiling: Tiling, interpret: bool):
    """(C,), as many as `sums`: what `terms` makes of arrays of x's shape and of (C,) ones, added up in `dtype`."""
    partial_sums = pl.pallas_call(
        partial(add_up, terms=terms, tiles=len(given), sums=sums, layout=layout, tiling=tiling),
        grid=(tiling.blocks, tiling.parts),
        out_shape=[jax.ShapeDtypeStruct((tiling.parts, layout.channels), dtype)] * sums,
        interpret=interpret,
        compiler_params=pallas_triton.CompilerParams(num_warps=tiling.warps),
    )(*given, *numbers)
    return [add_in_pairs(of_parts) for of_parts in partial_sums]
