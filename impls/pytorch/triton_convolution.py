"""LeNet's convolution as Triton kernels: each program adds up its products in registers, tap by tap.

At this size, with 1 or 6 channels in and 6 or 16 out, what counts on a GPU is the number of kernels, not their work. A
matmul needs the windows copied out before it and put back after it: this is one kernel forward and three backward.

All arrays are contiguous, (N, C, H, W). A tap is one of the SIZE x SIZE places of a kernel; h and w, the sizes of y,
are H - SIZE + 1 and W - SIZE + 1.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

AT_ONCE = 8
"""Channels in a tile."""
POSITIONS = 64
"""Pixels of an image in a tile."""
ABREAST = 8
"""Pixels of a row that the weight's gradient has under way at once."""
PARTS_AT_ONCE = 256
"""Parts of the weight's gradient that a program reads at once."""


@triton.jit
def convolve(
    x, weight, bias, y, images,
    C: tl.constexpr, H: tl.constexpr, W: tl.constexpr, K: tl.constexpr, SIZE: tl.constexpr,
    AT_ONCE: tl.constexpr, POSITIONS: tl.constexpr,
):  # fmt: skip
    """Grid: tiles of the positions of all images, tiles of the K channels of y."""
    h: tl.constexpr = H - SIZE + 1
    w: tl.constexpr = W - SIZE + 1
    place = tl.program_id(0) * POSITIONS + tl.arange(0, POSITIONS)
    k = tl.program_id(1) * AT_ONCE + tl.arange(0, AT_ONCE)
    n, inside = place // (h * w), place < images * (h * w)
    row, col = place // w % h, place % w
    corner = x + (n * (C * H) + row) * W + col
    total = tl.zeros((AT_ONCE, POSITIONS), y.dtype.element_ty)
    for c in range(C):
        for i in tl.static_range(SIZE):
            for j in tl.static_range(SIZE):
                pixels = tl.load(corner + (c * H + i) * W + j, mask=inside, other=0.0)
                taps = tl.load(weight + (k * C + c) * (SIZE * SIZE) + i * SIZE + j, mask=k < K, other=0.0)
                total += taps[:, None] * pixels[None, :]
    total += tl.load(bias + k, mask=k < K, other=0.0)[:, None]
    into = y + (n * (K * h * w) + place % (h * w))[None, :] + (k * (h * w))[:, None]
    tl.store(into, total, mask=(k < K)[:, None] & inside[None, :])


@triton.jit
def input_gradient(
    dy, weight, dx, images,
    C: tl.constexpr, H: tl.constexpr, W: tl.constexpr, K: tl.constexpr, SIZE: tl.constexpr,
    AT_ONCE: tl.constexpr, POSITIONS: tl.constexpr,
):  # fmt: skip
    """By tap (i, j) a pixel of x went to the pixel of y that lies i up and j left. Grid: as `convolve`'s, of x."""
    h: tl.constexpr = H - SIZE + 1
    w: tl.constexpr = W - SIZE + 1
    place = tl.program_id(0) * POSITIONS + tl.arange(0, POSITIONS)
    c = tl.program_id(1) * AT_ONCE + tl.arange(0, AT_ONCE)
    n, inside = place // (H * W), place < images * (H * W)
    row, col = place // W % H, place % W
    corner = dy + (n * (K * h) + row) * w + col
    total = tl.zeros((AT_ONCE, POSITIONS), dx.dtype.element_ty)
    for tap in range(SIZE * SIZE):
        i, j = tap // SIZE, tap % SIZE
        there = inside & (row >= i) & (row < h + i) & (col >= j) & (col < w + j)
        for k in tl.static_range(K):
            errors = tl.load(corner + (k * h - i) * w - j, mask=there, other=0.0)
            taps = tl.load(weight + (k * C + c) * (SIZE * SIZE) + tap, mask=c < C, other=0.0)
            total += taps[:, None] * errors[None, :]
    into = dx + (n * (C * H * W) + place % (H * W))[None, :] + (c * (H * W))[:, None]
    tl.store(into, total, mask=(c < C)[:, None] & inside[None, :])


@triton.jit
def weight_gradient_parts(
    x, dy, parts,
    C: tl.constexpr, H: tl.constexpr, W: tl.constexpr, K: tl.constexpr, SIZE: tl.constexpr,
    ROWS: tl.constexpr, ABREAST: tl.constexpr, KERNELS: tl.constexpr, TAPS: tl.constexpr,
):  # fmt: skip
    """For ROWS rows of an image of dy, and a channel of x: sum of dy times the pixel under each tap, (KERNELS, TAPS).

    The tap after the last stands for the bias, as for a pixel that is 1. Grid: images, blocks of rows, C.
    parts: (images, blocks, C, KERNELS, TAPS).
    """
    h: tl.constexpr = H - SIZE + 1
    w: tl.constexpr = W - SIZE + 1
    n, block, c = tl.program_id(0).to(tl.int64), tl.program_id(1), tl.program_id(2)
    k, tap = tl.arange(0, KERNELS), tl.arange(0, TAPS)
    is_tap = tap < SIZE * SIZE
    under = (tap // SIZE) * W + tap % SIZE
    total = tl.zeros((KERNELS, TAPS), parts.dtype.element_ty)
    for row in range(block * ROWS, tl.minimum((block + 1) * ROWS, h)):
        for first in range(0, w, ABREAST):
            for abreast in tl.static_range(ABREAST):
                col = first + abreast
                pixels = tl.load(x + ((n * C + c) * H + row) * W + col + under, mask=is_tap & (col < w), other=1.0)
                errors = tl.load(dy + ((n * K + k) * h + row) * w + col, mask=(k < K) & (col < w), other=0.0)
                total += errors[:, None] * pixels[None, :]
    place = ((n * tl.num_programs(1) + block) * C + c) * KERNELS + k
    tl.store(parts + place[:, None] * TAPS + tap[None, :], total)


@triton.jit
def weight_gradient(
    parts, dweight, dbias, number,
    C: tl.constexpr, SIZE: tl.constexpr,
    KERNELS: tl.constexpr, TAPS: tl.constexpr, PARTS_AT_ONCE: tl.constexpr,
):  # fmt: skip
    """The sum of `number` parts: in one order, so that a training is repeated bit for bit. Grid: C, K."""
    c, k = tl.program_id(0), tl.program_id(1)
    tap = tl.arange(0, TAPS)
    total = tl.zeros((PARTS_AT_ONCE, TAPS), parts.dtype.element_ty)
    for first in range(0, number, PARTS_AT_ONCE):
        part = first + tl.arange(0, PARTS_AT_ONCE)
        place = ((part * C + c) * KERNELS + k)[:, None] * TAPS + tap[None, :]
        total += tl.load(parts + place, mask=(part < number)[:, None], other=0.0)
    sums = tl.sum(total, 0)
    tl.store(dweight + (k * C + c) * (SIZE * SIZE) + tap, sums, mask=tap < SIZE * SIZE)
    tl.store(dbias + k + tap - SIZE * SIZE, sums, mask=(tap == SIZE * SIZE) & (c == 0))


class Convolution(torch.autograd.Function):
    """x (N, C, H, W), weight (K, C, SIZE, SIZE), bias (K,) -> (N, K, H-SIZE+1, W-SIZE+1), without padding."""

    @staticmethod
    def forward(ctx, x, weight, bias):
        x, weight = x.contiguous(), weight.contiguous()
        N, C, H, W = x.shape
        K, size = len(weight), weight.shape[2]
        h, w = H - size + 1, W - size + 1
        y = x.new_empty(N, K, h, w)
        grid = triton.cdiv(N * h * w, POSITIONS), triton.cdiv(K, AT_ONCE)
        convolve[grid](x, weight, bias, y, N, C, H, W, K, size, AT_ONCE, POSITIONS, num_warps=1)
        ctx.save_for_backward(x, weight)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        x, weight = ctx.saved_tensors
        dy = dy.contiguous()
        dx = gradient_of_input(x, weight, dy) if ctx.needs_input_grad[0] else None
        return dx, *gradients_of_parameters(x, weight, dy)


def gradient_of_input(x: Tensor, weight: Tensor, dy: Tensor) -> Tensor:
    N, C, H, W = x.shape
    K, size = len(weight), weight.shape[2]
    dx = torch.empty_like(x)
    grid = triton.cdiv(N * H * W, POSITIONS), triton.cdiv(C, AT_ONCE)
    input_gradient[grid](dy, weight, dx, N, C, H, W, K, size, AT_ONCE, POSITIONS, num_warps=1)
    return dx


def gradients_of_parameters(x: Tensor, weight: Tensor, dy: Tensor) -> tuple[Tensor, Tensor]:
    """(dweight, dbias)"""
    N, C, H, W = x.shape
    K, size = len(weight), weight.shape[2]
    h = H - size + 1
    rows = triton.cdiv(h, max(h // 8, 1))  # so few that a program is done soon
    blocks = triton.cdiv(h, rows)
    kernels, taps = triton.next_power_of_2(K), triton.next_power_of_2(size * size + 1)
    parts = x.new_empty(N, blocks, C, kernels, taps)
    weight_gradient_parts[N, blocks, C](
        x, dy, parts, C, H, W, K, size, rows, ABREAST, kernels, taps, num_warps=1
    )  # fmt: skip
    dweight, dbias = torch.empty_like(weight), weight.new_empty(K)
    weight_gradient[C, K](parts, dweight, dbias, N * blocks, C, size, kernels, taps, PARTS_AT_ONCE, num_warps=4)
    return dweight, dbias
