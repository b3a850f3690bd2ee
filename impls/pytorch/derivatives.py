"""The derivatives of batch norm by plain operations, which PyTorch differentiates again: forward mode, and a backward
for second derivatives.

What comes in 16 bits is cast once: a gradient by it would otherwise be a sum of parts, each of them rounded to 16 bits.

The backward in fast_batch_norm.py writes into memory that it holds and takes mean and scale for constants: it is for
first derivatives. What stands here is the same formula as a function of dy, gamma and x.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from impls.pytorch.channels import other_axes, per_channel_shape, sum_over, working_dtype
from impls.pytorch.scale import differentiable_scale
from reference.conventions import Conventions

Gradients = tuple[Tensor, Tensor, Tensor]


class OfBatch:
    """In training: mean and variance move with x."""

    def __init__(self, x: Tensor, gamma: Tensor, eps: float, conventions: Conventions) -> None:
        self.axes, self.dtype = other_axes(x, conventions), working_dtype(x, gamma)
        wide = x.to(self.dtype)  # x's shape
        centered = wide - self.mean(wide)  # x's shape
        var = self.mean(centered.square())  # (C*)
        scale, self.slope = differentiable_scale(var, eps, conventions.eps_at)  # (C*), (C*) or 1
        self.x_hat = centered * scale  # x's shape
        self.gain = gamma.view(scale.shape) * scale  # (C*)

    def mean(self, values: Tensor) -> Tensor:
        """Over all axes but the channels', (C*)."""
        total = sum_over(self.axes, values, self.dtype)  # (C*)
        return total / max(1, values.numel() // total.numel())

    def less_what_moves(self, values: Tensor) -> Tensor:
        """gain * (values - mean - x_hat * mean(values * x_hat)): from dy to dx, and from a change of x to one of y."""
        values = values - self.mean(values)  # x's shape
        return self.gain * (values - self.x_hat * (self.slope * self.mean(values * self.x_hat)))  # x's shape

    def gradients(self, dy: Tensor) -> Gradients:
        """(dx, dgamma, dbeta) of sum(y * dy): x's shape, (C,), (C,)."""
        dy = dy.to(self.dtype)  # x's shape
        dgamma = sum_over(self.axes, dy * self.x_hat, self.dtype).reshape(-1)  # (C,)
        dbeta = sum_over(self.axes, dy, self.dtype).reshape(-1)  # (C,)
        return self.less_what_moves(dy), dgamma, dbeta

    def tangents(self, tx: Tensor | None, tgamma: Tensor | None, tbeta: Tensor | None) -> Tensor:
        """How y changes with x, gamma and beta, in x's shape; None is no change."""
        ty = torch.zeros_like(self.x_hat) if tx is None else self.less_what_moves(tx.to(self.dtype))  # x's shape
        return with_parameters(ty, self.x_hat, tgamma, tbeta, self.gain.shape)


def of_constants(
    x: Tensor, mean: Tensor, scale: Tensor, gamma: Tensor, conventions: Conventions, dy: Tensor
) -> Gradients:
    """`OfBatch.gradients` in prediction, where mean and scale (C,) are constants."""
    axes, shape = other_axes(x, conventions), per_channel_shape(x, conventions)
    dy = dy.to(mean.dtype)  # x's shape
    centered = x - mean.view(shape)  # x's shape
    dgamma = (dy * centered).sum(axes) * scale  # (C,)
    return dy * (gamma * scale).view(shape), dgamma, dy.sum(axes)


def along_constants(
    x: Tensor,
    mean: Tensor,
    scale: Tensor,
    gamma: Tensor,
    conventions: Conventions,
    tx: Tensor | None,
    tgamma: Tensor | None,
    tbeta: Tensor | None,
) -> Tensor:
    """`OfBatch.tangents` in prediction."""
    shape = per_channel_shape(x, conventions)
    x_hat = (x - mean.view(shape)) * scale.view(shape)  # x's shape
    ty = torch.zeros_like(x_hat) if tx is None else (gamma * scale).view(shape) * tx.to(mean.dtype)  # x's shape
    return with_parameters(ty, x_hat, tgamma, tbeta, shape)


def with_parameters(
    ty: Tensor, x_hat: Tensor, tgamma: Tensor | None, tbeta: Tensor | None, shape: Sequence[int]
) -> Tensor:
    """ty + tgamma * x_hat + tbeta, in x's shape."""
    if tgamma is not None:
        ty = ty + tgamma.view(shape) * x_hat
    return ty if tbeta is None else ty + tbeta.view(shape)


# --- where no function of ours may stand ---


def by_batch_plainly(
    x: Tensor, gamma: Tensor, beta: Tensor, eps: float, conventions: Conventions
) -> tuple[Tensor, Tensor, Tensor]:
    """(y, mean, var): x's shape, (C,), (C,)."""
    axes, wide = other_axes(x, conventions), x.to(working_dtype(x, gamma))
    n = max(1, x.numel() // len(gamma))  # of an empty batch every sum is 0
    mean = sum_over(axes, wide, wide.dtype) / n  # (C*)
    centered = wide - mean  # x's shape
    var = sum_over(axes, centered.square(), wide.dtype) / n  # (C*)
    scale, _ = differentiable_scale(var, eps, conventions.eps_at)  # (C*)
    y = centered * (gamma.view(scale.shape) * scale) + beta.view(scale.shape)  # x's shape
    return y.to(x.dtype), mean.reshape(-1).detach(), var.reshape(-1).detach()


def by_moving_plainly(
    x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, var: Tensor, eps: float, conventions: Conventions
) -> Tensor:
    """y by mean and var (C,), which are constants."""
    shape, wide = per_channel_shape(x, conventions), x.to(working_dtype(x, gamma))
    scale, _ = differentiable_scale(var.detach().to(wide.dtype), eps, conventions.eps_at)  # (C,)
    centered = wide - mean.detach().to(wide.dtype).view(shape)  # x's shape
    return (centered * (gamma * scale).view(shape) + beta.view(shape)).to(x.dtype)
