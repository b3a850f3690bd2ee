"""What else a step of LeNet does on a GPU, as few Triton kernels: a batch, pooling, the loss with its gradient.

Each stands for three to twelve of PyTorch's kernels, and at this size a kernel takes as long as its start.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from impls.pytorch.triton_tiles import divide

VALUES = 1024
"""In a tile."""
EXAMPLES = 256
"""In a tile of the loss."""


@triton.jit
def scale_pixels(images, batch, pixels, PIXELS: tl.constexpr, VALUES: tl.constexpr):
    """Grid: examples of the batch, tiles of their pixels."""
    place = tl.program_id(1) * VALUES + tl.arange(0, VALUES)
    inside = place < PIXELS
    image = tl.load(batch + tl.program_id(0))
    kind: tl.constexpr = pixels.dtype.element_ty
    value = tl.load(images + image * PIXELS + place, mask=inside, other=0).to(kind)
    into = pixels + tl.program_id(0).to(tl.int64) * PIXELS + place
    tl.store(into, divide(value, tl.full((), 255.0, kind)), mask=inside)


def scaled_batch(images: Tensor, batch: Tensor, dtype: torch.dtype) -> Tensor:
    """Bytes (N, 28, 28) and indices (n,) -> their pixels in [0, 1], (n, 1, 28, 28)."""
    pixels = torch.empty(len(batch), 1, *images.shape[1:], dtype=dtype, device=images.device)
    size = images[0].numel()
    scale_pixels[len(batch), triton.cdiv(size, VALUES)](images, batch, pixels, size, VALUES, num_warps=4)
    return pixels


@triton.jit
def average_squares(x, y, W: tl.constexpr, size, VALUES: tl.constexpr):
    """Grid: tiles of y, whatever image and channel they are of. size: of y; W: of x."""
    place = tl.program_id(0).to(tl.int64) * VALUES + tl.arange(0, VALUES)
    inside = place < size
    row, col = place // (W // 2), place % (W // 2)  # of all images' and channels' rows, one below the other
    corner = x + row * (2 * W) + 2 * col
    above = tl.load(corner, mask=inside, other=0.0) + tl.load(corner + 1, mask=inside, other=0.0)
    below = tl.load(corner + W, mask=inside, other=0.0) + tl.load(corner + W + 1, mask=inside, other=0.0)
    tl.store(y + place, (above + below) * 0.25, mask=inside)


@triton.jit
def spread_squares(dy, dx, W: tl.constexpr, size, VALUES: tl.constexpr):
    """Grid: tiles of dx. size, W: of dx."""
    place = tl.program_id(0).to(tl.int64) * VALUES + tl.arange(0, VALUES)
    inside = place < size
    row, col = place // W, place % W
    share = tl.load(dy + (row // 2) * (W // 2) + col // 2, mask=inside, other=0.0) * 0.25
    tl.store(dx + place, share, mask=inside)


class AveragePool(torch.autograd.Function):
    """x (N, C, H, W), contiguous, H and W even -> (N, C, H/2, W/2): the average of each 2x2 square."""

    @staticmethod
    def forward(ctx, x):
        N, C, H, W = x.shape
        ctx.shape = x.shape
        y = x.new_empty(N, C, H // 2, W // 2)
        average_squares[(triton.cdiv(y.numel(), VALUES),)](x.contiguous(), y, W, y.numel(), VALUES)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        dx = dy.new_empty(ctx.shape)
        spread_squares[(triton.cdiv(dx.numel(), VALUES),)](dy.contiguous(), dx, ctx.shape[3], dx.numel(), VALUES)
        return dx


@triton.jit
def softmax_loss(
    logits, labels, batch, dlogits, loss_sum, correct, n,
    CLASSES: tl.constexpr, WIDE: tl.constexpr, EXAMPLES: tl.constexpr,
):  # fmt: skip
    """Grid: one program, which goes through the batch. WIDE: a power of two, at least CLASSES."""
    kind: tl.constexpr = logits.dtype.element_ty
    column = tl.arange(0, WIDE)
    losses = tl.zeros((EXAMPLES,), kind)
    hits = tl.zeros((EXAMPLES,), tl.int32)
    for first in range(0, n, EXAMPLES):
        example = first + tl.arange(0, EXAMPLES)
        exists = example < n
        mask = exists[:, None] & (column < CLASSES)[None, :]
        places = example[:, None] * CLASSES + column[None, :]
        logit = tl.load(logits + places, mask=mask, other=-float("inf"))
        label = tl.load(labels + tl.load(batch + example, mask=exists, other=0), mask=exists, other=0)
        highest = tl.max(logit, 1)
        above = tl.where(mask, logit - highest[:, None], 0.0)
        powers = tl.where(mask, tl.exp(above), 0.0)
        total = tl.sum(powers, 1)
        is_label = column[None, :] == label[:, None]
        own = tl.sum(tl.where(is_label, above, 0.0), 1)
        losses += tl.where(exists, tl.log(total) - own, 0.0)
        winner = tl.min(tl.where(logit == highest[:, None], column[None, :], WIDE), 1)
        hits += (exists & (winner == label)).to(tl.int32)
        share = divide(powers, tl.broadcast_to(total[:, None], (EXAMPLES, WIDE)))
        gradient = divide(share - tl.where(is_label, 1.0, 0.0).to(kind), tl.full((), n, kind))
        tl.store(dlogits + places, gradient, mask=mask)
    tl.store(loss_sum, tl.load(loss_sum) + tl.sum(losses).to(tl.float64))
    tl.store(correct, tl.load(correct) + tl.sum(hits))


def loss_gradient(logits: Tensor, labels: Tensor, batch: Tensor, loss_sum: Tensor, correct: Tensor) -> Tensor:
    """The gradient of the mean cross entropy by logits (n, classes), whose labels are labels[batch].

    Adds the sum of the losses to loss_sum, (), float64, and how many logits are highest at their label to correct, (),
    int64.
    """
    logits = logits.contiguous()
    n, classes = logits.shape
    dlogits = torch.empty_like(logits)
    wide = triton.next_power_of_2(classes)
    softmax_loss[(1,)](logits, labels, batch, dlogits, loss_sum, correct, n, classes, wide, EXAMPLES, num_warps=32)
    return dlogits
