"""LeNet's 5x5 convolution without padding, in PyTorch: its own on a CPU, a matmul on a GPU.

On a GPU these two convolutions took half of a training step: cuDNN's kernels, held to full float32 and to one order of
sums, leave most of the chip idle where there are one and six channels. On a CPU oneDNN's are two to four times as
fast as the matmul.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import conv2d

KERNEL = 5
BLOCK = 8  # output columns in one product


def convolution(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x (N, C, H, W), weight (K, C, 5, 5), bias (K,) -> (N, K, H-4, W-4)."""
    if x.is_cuda and bias is not None and (x.shape[3] - KERNEL + 1) % BLOCK == 0:
        return BandedConvolution.apply(x, weight, bias)
    return conv2d(x, weight, bias)


class BandedConvolution(torch.autograd.Function):
    """A row of output pixels depends on five rows of input pixels, by a matrix in which the kernel repeats along a
    diagonal band (a Toeplitz matrix). Most of its entries are zero; a large matmul is fast enough to afford it.

    `wide` input columns make `BLOCK` output columns, in each of `blocks` blocks of a row.
    """

    @staticmethod
    def forward(ctx, x, weight, bias):
        N, C, H, W = x.shape
        K, wide = len(weight), BLOCK + KERNEL - 1
        h, w = H - KERNEL + 1, W - KERNEL + 1
        windows = x.unfold(2, KERNEL, 1).unfold(3, wide, BLOCK)  # (N, C, h, blocks, 5, wide), a view
        rows = windows.permute(0, 2, 3, 1, 4, 5).reshape(-1, C * KERNEL * wide)  # (N*h*blocks, C*5*wide)
        places, inside = band(C, K, x.device)
        matrix = (weight.flatten()[places] * inside).view(C * KERNEL * wide, K * BLOCK)
        y = torch.addmm(bias.repeat_interleave(BLOCK, output_size=K * BLOCK), rows, matrix)  # (N*h*blocks, K*BLOCK)
        ctx.save_for_backward(rows, matrix, weight)
        ctx.shape = x.shape
        return y.view(N, h, -1, K, BLOCK).permute(0, 3, 1, 2, 4).reshape(N, K, h, w)

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        rows, matrix, weight = ctx.saved_tensors
        N, C, H, W = ctx.shape
        K, wide = len(weight), BLOCK + KERNEL - 1
        h, w = H - KERNEL + 1, W - KERNEL + 1
        dbias = dy.sum((0, 2, 3))  # (K,)
        dy = dy.view(N, K, h, -1, BLOCK).permute(0, 2, 3, 1, 4).reshape(-1, K * BLOCK)  # (N*h*blocks, K*BLOCK)
        dmatrix = (rows.T @ dy).view(C, KERNEL, wide, K, BLOCK)
        # The kernel's column j stands where input column = output column + j.
        diagonals = [dmatrix[:, :, j : j + BLOCK].diagonal(0, 2, 4) for j in range(KERNEL)]  # (C, 5, K, BLOCK) each
        dweight = torch.stack(diagonals, 3).sum(4).permute(2, 0, 1, 3)  # (K, C, 5, 5)
        dx = None
        if ctx.needs_input_grad[0]:
            drows = (dy @ matrix.T).view(N, h, w // BLOCK, C, KERNEL, wide)
            dx = dy.new_zeros(N, C, H, W)
            for i in range(KERNEL):
                for b in range(w // BLOCK):
                    dx[:, :, i : i + h, b * BLOCK : b * BLOCK + wide] += drows[:, :, b, :, i].permute(0, 2, 1, 3)
        return dx, dweight, dbias


@lru_cache
def band(C: int, K: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Where each entry of the matrix comes from in the weight's memory, and 1 or 0 for on the band or off it.

    Both have the shape (C, 5, wide, K, BLOCK).
    """
    wide = BLOCK + KERNEL - 1
    c, i, column, k, out = torch.meshgrid(
        *(torch.arange(size, device=device) for size in (C, KERNEL, wide, K, BLOCK)), indexing="ij"
    )
    j = column - out
    inside = (j >= 0) & (j < KERNEL)
    places = ((k * C + c) * KERNEL + i) * KERNEL + j.clamp(0, KERNEL - 1)
    return places, inside
