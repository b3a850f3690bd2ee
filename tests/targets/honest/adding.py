"""Sums as libraries form them: (n, C) -> (C,), every addition rounded to the dtype of the terms."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Sum = Callable[[Array], Array]

WIDER: dict[np.dtype, Any] = {np.dtype(np.float32): np.float64, np.dtype(np.float64): np.longdouble}


def wide(a: Array) -> Array:
    return a.astype(WIDER.get(a.dtype, np.longdouble))


def forward(t: Array) -> Array:
    """From the first row to the last; NumPy reduces the first axis of (n, C) one row after another."""
    if t.shape[1] == 1:  # one column would be summed pairwise
        return np.add.accumulate(t, axis=0)[-1]
    total: Array = np.add.reduce(np.ascontiguousarray(t), axis=0)
    return total


def backward(t: Array) -> Array:
    return forward(t[::-1])


def interleaved(t: Array) -> Array:
    """First, middle, second, one after the middle: two blocks read in turn."""
    half = (len(t) + 1) // 2
    order = np.empty(len(t), int)
    order[0::2], order[1::2] = np.arange(half), np.arange(half, len(t))
    return forward(t[order])


def along_axis_0(t: Array) -> Array:
    """The rows seen as an (N, L) block: first over N for each of the L places, then over the places."""
    places = math.isqrt(len(t))
    whole = len(t) // places * places
    by_place = forward(t[:whole].reshape(whole // places, -1)).reshape(places, t.shape[1])
    return forward(np.concatenate([by_place, t[whole:]]))


def value_sorted(t: Array) -> Array:
    """Smallest value first: the order in which the partial sums' roundings resemble each other most."""
    return forward(np.sort(t, axis=0))


def pairwise(t: Array) -> Array:
    """Neighbours first, level by level."""
    while len(t) > 1:
        even = len(t) // 2 * 2
        t = np.concatenate([t[0:even:2] + t[1:even:2], t[even:]])
    return t[0]


def numpy_pairwise(t: Array) -> Array:
    """NumPy along a contiguous axis (loops_utils.h.src): blocks of 128 in eight lanes, halves above."""
    n = len(t)
    if n < 8:
        return forward(t)
    if n <= 128:
        lanes = forward(t[: n // 8 * 8].reshape(n // 8, -1)).reshape(8, t.shape[1])
        return forward(np.concatenate([pairwise(lanes)[None], t[n // 8 * 8 :]]))
    half = n // 2 - n // 2 % 8
    total: Array = numpy_pairwise(t[:half]) + numpy_pairwise(t[half:])
    return total


def strided_lanes(lanes: int) -> Sum:
    """Lane k takes rows k, k + lanes, ...; the lanes are added pairwise."""

    def add(t: Array) -> Array:
        return pairwise(np.stack([forward(t[k::lanes]) for k in range(min(lanes, len(t)))]))

    return add


def blocked(size: int) -> Sum:
    """Contiguous blocks one by one, then the blocks one by one."""

    def add(t: Array) -> Array:
        return forward(np.stack([forward(t[k : k + size]) for k in range(0, len(t), size)]))

    return add


def cascade(t: Array) -> Array:
    """PyTorch on the CPU (aten/src/ATen/native/cpu/SumKernel.cpp): four accumulators, each emptied into the next."""
    step = 2 ** max(4, math.ceil(math.log2(max(len(t), 1)) / 4))
    total = None
    while True:
        whole = len(t) // step * step
        rest = forward(t[whole:]) if len(t) > whole else np.zeros_like(t[0])
        total = rest if total is None else total + rest
        if not whole:
            return total
        t = np.stack([forward(t[k : k + step]) for k in range(0, whole, step)])


def kahan(t: Array) -> Array:
    total, lost = np.zeros_like(t[0]), np.zeros_like(t[0])
    for row in t:
        corrected = row - lost
        following = total + corrected
        lost = (following - total) - corrected
        total = following
    return total


def in_wider_type(t: Array) -> Array:
    return forward(wide(t)).astype(t.dtype)


def fused(a: Array, b: Array, c: Array) -> Array:
    """a b + c, rounded once (twice where no type holds a product of two float64: that is u/2048 more)."""
    exact: Array = wide(a) * b + c
    return exact.astype(np.result_type(a, b, c))


def fused_dot(a: Array, b: Array) -> Array:
    """The rows of a b added up, the product and the sum of each step rounded once."""
    total, products = np.zeros_like(a[0]), wide(a) * b
    for row in products:
        total = (row + total).astype(a.dtype)
    return total
