"""What the Triton kernels of batch normalization share: tiles of x, their statistics, how programs put parts together.

A tile has two axes. Channels first (LAST = False): rows are examples, columns the positions of one channel. Channels
last: rows are examples and positions together, columns are channels. "Per channel" is then a scalar, or one number a
column; `per_channel` and `over` are the two ways between a tile and that.

Parts of a channel that different programs have seen lie in `partials`, (quantities, P, C); `merge_all` reads them.
The arithmetic stays inside the model of ../../reference/ERROR_BOUNDS.md: two passes over a tile that is on the chip,
then Chan's merges; division and root are the rounded ones, not the approximate ones that are Triton's default.
"""

# ruff: noqa: SIM108 - Triton compiles the branch that a constant chooses, and may not even have types for the other
import triton
import triton.language as tl


@triton.jit
def divide(a, b):
    """a / b, correctly rounded."""
    if a.dtype == tl.float64:
        return a / b
    else:
        return tl.math.div_rn(a, b)


@triton.jit
def root(a):
    """The square root of a, correctly rounded."""
    if a.dtype == tl.float64:
        return tl.sqrt(a)
    else:
        return tl.sqrt_rn(a)


@triton.jit
def inverse_std(var, eps, EPS_INSIDE: tl.constexpr):
    if EPS_INSIDE:
        std = root(var + eps)
    else:
        std = root(var) + eps
    return divide(tl.full((), 1.0, var.dtype), std)


@triton.jit
def variance_slope(var, scale, EPS_INSIDE: tl.constexpr):
    """How the scale depends on var, relative to -scale^3/2; 0 for a constant channel where eps is outside the root."""
    if EPS_INSIDE:
        return tl.full((), 1.0, var.dtype)
    else:
        std = root(var)
        varies = std > 0
        return tl.where(varies, divide(tl.full((), 1.0, var.dtype), tl.where(varies, scale * std, 1.0)), 0.0)


# --- tiles ---


@triton.jit
def number_of_tiles(rows, inner, LAST: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr):
    """Of one channel, or of one block of COLS channels."""
    if LAST:
        return tl.cdiv(rows, ROWS)
    else:
        return tl.cdiv(rows, ROWS) * tl.cdiv(inner, COLS)


@triton.jit
def tile_at(
    t, block, rows, channels, inner,
    LAST: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """(offsets, mask, values per channel) of tile t of channel (or block of channels) `block`. WIDE: 64-bit offsets."""
    if LAST:
        first_row = t * ROWS
        first_col = block * COLS
        count = tl.minimum(rows - first_row, ROWS)
    else:
        across = tl.cdiv(inner, COLS)
        first_row = (t // across) * ROWS
        first_col = (t % across) * COLS
        count = tl.minimum(rows - first_row, ROWS) * tl.minimum(inner - first_col, COLS)
    row = first_row + tl.arange(0, ROWS)
    col = first_col + tl.arange(0, COLS)
    mask = (row < rows)[:, None] & (col < inner)[None, :]
    if WIDE:
        row = row.to(tl.int64)
    if LAST:
        offsets = row[:, None] * inner + col[None, :]
    else:
        offsets = (row[:, None] * channels + block) * inner + col[None, :]
    return offsets, mask, count


@triton.jit
def channels_of(block, channels, LAST: tl.constexpr, COLS: tl.constexpr):
    """(indices of the channels of a block, which of them there are)."""
    if LAST:
        c = block * COLS + tl.arange(0, COLS)
    else:
        c = block
    return c, c < channels


@triton.jit
def per_channel(tile, LAST: tl.constexpr):
    """The sum of a tile, per channel."""
    if LAST:
        return tl.sum(tile, 0)
    else:
        return tl.sum(tile)


@triton.jit
def over(value, LAST: tl.constexpr):
    """A number per channel, to broadcast against a tile."""
    if LAST:
        return value[None, :]
    else:
        return value


# --- statistics: (values, mean, sum of squared deviations) ---


@triton.jit
def tile_statistics(x, mask, n, LAST: tl.constexpr):
    """(mean, sum of squared deviations) of the n values per channel of a tile, by two passes. x is 0 off the mask."""
    mean = divide(per_channel(x, LAST), n)
    deviations = tl.where(mask, x - over(mean, LAST), 0.0)
    return mean, per_channel(deviations * deviations, LAST)


@triton.jit
def merge(n_a, mean_a, m2_a, n_b, mean_b, m2_b):
    """Chan, Golub and LeVeque 1983: the part with fewer values is added to the other."""
    n = n_a + n_b
    share = divide(tl.minimum(n_a, n_b), n)
    delta = mean_b - mean_a
    mean = tl.where(n_a >= n_b, mean_a + delta * share, mean_b - delta * share)
    return n, mean, m2_a + m2_b + delta * (delta * (tl.maximum(n_a, n_b) * share))


@triton.jit
def part_of(quantity, p, c, P, channels):
    """Where a program's part lies in `partials`. p: a number, or a block of them along a new first axis."""
    return (quantity * P + p) * channels + c


@triton.jit
def some_parts(partials, quantity, first, c, exists, P, channels, LAST: tl.constexpr, CHUNK: tl.constexpr):
    """What programs from `first` on wrote: (CHUNK,), or (CHUNK, channels); 0 from P on. From the cache they share."""
    p = first + tl.arange(0, CHUNK)
    if LAST:
        place = part_of(quantity, p[:, None], c[None, :], P, channels)
        there = (p < P)[:, None] & exists[None, :]
    else:
        place = part_of(quantity, p, c, P, channels)
        there = p < P
    return tl.load(partials + place, mask=there, other=0.0, cache_modifier=".cg")


@triton.jit
def sum_parts(partials, quantity, like, c, exists, P, channels, LAST: tl.constexpr, CHUNK: tl.constexpr):
    """The sum over all P programs. like: a number per channel, of the dtype."""
    total = tl.zeros_like(like)
    for first in range(0, P, CHUNK):
        total += tl.sum(some_parts(partials, quantity, first, c, exists, P, channels, LAST, CHUNK), 0)
    return total


@triton.jit
def merge_all(partials, like, c, exists, n, P, channels, LAST: tl.constexpr, CHUNK: tl.constexpr):
    """(mean, sum of squared deviations) of all n values per channel from the parts of P programs."""
    total = tl.zeros_like(like)
    for first in range(0, P, CHUNK):
        means = some_parts(partials, 0, first, c, exists, P, channels, LAST, CHUNK)
        counts = some_parts(partials, 2, first, c, exists, P, channels, LAST, CHUNK)
        total += tl.sum(counts * means, 0)
    mean = divide(total, n)
    m2 = tl.zeros_like(like)
    for first in range(0, P, CHUNK):
        means = some_parts(partials, 0, first, c, exists, P, channels, LAST, CHUNK)
        m2s = some_parts(partials, 1, first, c, exists, P, channels, LAST, CHUNK)
        counts = some_parts(partials, 2, first, c, exists, P, channels, LAST, CHUNK)
        deltas = tl.where(counts > 0, means - over(mean, LAST), 0.0)
        m2 += tl.sum(m2s + counts * deltas * deltas, 0)
    return mean, m2


# --- programs of one channel wait for each other ---


@triton.jit
def arrive(counters, block):
    """How many programs of this block arrived before. What this one stored is seen by whoever arrives later."""
    tl.debug_barrier()
    return tl.atomic_add(counters + 2 * block, 1, sem="acq_rel")


@triton.jit
def meet(counters, block, P, WAIT: tl.constexpr):
    """Until all P programs of this block have come here. The last to leave makes the counters ready for another kernel.

    They must all get onto the chip at the same time: P is at most its number of multiprocessors, the programs of a
    block have neighbouring numbers, and the hardware starts programs in their order. WAIT = False is for the
    interpreter, which plays one program after the other.
    """
    arrive(counters, block)
    if WAIT:
        while tl.atomic_add(counters + 2 * block, 0, sem="acquire") < P:
            pass
    left = tl.atomic_add(counters + 2 * block + 1, 1, sem="acq_rel")
    if left == P - 1:
        tl.store(counters + 2 * block, 0)
        tl.store(counters + 2 * block + 1, 0)
