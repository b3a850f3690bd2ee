"""How far a floating-point sum, or a running mean, may be from the exact one, for the very numbers in it.

Every error bound of batch norm rests on these two. ERROR_BOUNDS.md derives them in sections 2 and 3.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Hoeffding's tail 2 exp(-c^2/2) is 2 % at c = 3, but one step's error is uniform rather than +-h/2, and the
# partial sum reaches its last binade only at the end: sums in random order stay below a third of this term.
CLUSTER_CONSTANT = 3.0
# A sum crosses binades, and may break ties otherwise: the bias of its worst binade counts twice.
BIAS_CONSTANT = 2.0
# Twice that: step k should draw a running mean that is off back by 1/k of its error, but where the steps are
# rounded away that does not happen, and evenly spaced data err twice as far.
RUNNING_BIAS_CONSTANT = 4.0


def summation_error(terms: Array, unit: float) -> Array:
    """Bound of |computed sum - exact sum| of each row of `terms`, (..., n) -> (...), one by one or in a tree.

    `unit` is the unit roundoff of the additions. The smaller of the two:
      proved       unit * A * (n - 1),  A = sum |t|                                 (Higham 2002, section 4.2)
      statistical  3 * unit * A * sqrt(sum of c_k^2)  +  2 * (largest rounding bias)
    where c_k counts the terms that agree to a quarter of the last place of A, and so are rounded alike.
    """
    n = terms.shape[-1]
    if n < 2:
        return np.zeros(terms.shape[:-1])
    total = np.abs(terms).sum(axis=-1)
    worst: Array = unit * total * (n - 1)
    if n <= 4:  # 3 sqrt(n) cannot undercut n - 1
        return worst
    ascending = np.sort(terms, axis=-1)
    statistical = CLUSTER_CONSTANT * unit * total * _cluster_size(ascending, unit * total / 2)
    statistical += BIAS_CONSTANT * _rounding_bias(ascending, total, unit)
    smaller: Array = np.minimum(worst, statistical)
    return smaller


def _cluster_size(ascending: Array, cell: Array) -> Array:
    """sqrt(sum c_k^2): sqrt(n) if all terms differ, n if all are equal. Exact zeros cost nothing."""
    zero = ascending == 0
    cells = np.rint(ascending / np.where(cell > 0, cell, 1.0)[..., None])
    cells[zero] = 0.5  # a cell of their own
    index = np.arange(cells.shape[-1])
    starts = np.zeros(cells.shape, dtype=np.intp)
    starts[..., 1:] = np.where(cells[..., 1:] != cells[..., :-1], index[1:], 0)
    place = index - np.maximum.accumulate(starts, axis=-1)  # within the run of equal cells: 0, 1, 2, ...
    odd = np.where(zero, 0, 2 * place + 1)  # 1 + 3 + 5 + ... over a run of c terms is c^2
    size: Array = np.sqrt(odd.sum(axis=-1).astype(np.float64))
    return size


def _rounding_bias(ascending: Array, total: Array, unit: float) -> Array:
    """Largest |sum of (t - nearest multiple of h)| over ranges of values and over last places h.

    A partial sum is a multiple of its own last place h, so adding t to it errs by t's distance from a
    multiple of h: a function of t alone, which need not average out on a lattice or on evenly spaced terms.
    """
    n = ascending.shape[-1]
    last_place = np.ldexp(unit, np.frexp(total)[1])  # that of the largest partial sum there can be
    scaled = ascending / np.where(last_place > 0, last_place, 1.0)[..., None]
    bias = np.zeros(total.shape)
    for halving in range(int(np.log2(n) / 2) + 3):  # below that, h is too small for any bias to matter
        residue = np.rint(scaled)
        residue -= scaled
        walk = np.cumsum(residue, axis=-1, out=residue)
        spread = np.maximum(walk.max(axis=-1), 0) - np.minimum(walk.min(axis=-1), 0)
        np.maximum(bias, spread * 2.0**-halving, out=bias)
        scaled *= 2
    return bias * last_place


def running_mean_error(d: Array, m: Array, unit: float) -> tuple[Array, Array]:
    """Welford's mean of m + d, row by row: bounds of its error and of that error's effect on the variance.

    d (n, C) are the exact distances from the exact mean m (C,); both results (C,). Row k moves the mean by
    delta_k / k and rounds it, an error of unit * |m_k| that weighs k/n in the end. The rounding is a function
    of delta_k / k alone, and on evenly spaced data the same at every step. The sum of squares takes
    (x_k - m_(k-1)) (x_k - m_k), so the error of a running mean enters it twice, times delta_k; where the
    deltas change sign that averages out, where they drift one way (sorted data) it does not.
    """
    n = len(d)
    if n < 2:
        return np.zeros(m.shape), np.zeros(m.shape)
    k = np.arange(2, n + 1)[:, None]
    running = np.cumsum(d, axis=0)
    delta = d[1:] - running[:-1] / (k - 1)
    partial_sum = running[1:] + k * m
    rounded = np.abs(partial_sum) + 2 * np.abs(delta)
    last_place = np.ldexp(unit, np.frexp(partial_sum / k)[1])
    quotient = delta / k / np.where(last_place > 0, last_place, 1.0)
    bias = np.abs(np.cumsum(k * last_place * (np.rint(quotient) - quotient), axis=0))
    statistical = CLUSTER_CONSTANT * unit * np.sqrt(np.cumsum(rounded**2, axis=0))
    statistical += RUNNING_BIAS_CONSTANT * np.maximum.accumulate(bias, axis=0)
    error = np.minimum(unit * np.cumsum(rounded, axis=0), statistical) / k
    drift = np.abs(np.cumsum(delta, axis=0)).max(axis=0) / n
    return error[-1], error.max(axis=0) * (2 * drift + np.sqrt(np.mean(d * d, axis=0) / n))
