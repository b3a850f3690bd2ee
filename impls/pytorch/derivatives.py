"""The derivatives of batch norm by plain operations, which PyTorch differentiates again: forward mode, and a backward
for second derivatives.

What comes in 16 bits is cast once: a gradient by it would otherwise be a sum of parts, each of them rounded to 16 bits.

The backward in fast_batch_norm.py writes into memory that it holds and takes scale and x_hat for constants: it is for
first derivatives. What stands here is the same formula as a function of dy, gamma and `centered`, x - mean.
"""

from __future__ import annotations

import torch
from torch import Tensor

from impls.pytorch.channels import other_axes, per_channel_shape, sum_over, working_dtype
from impls.pytorch.scale import differentiable_scale
from reference.conventions import Conventions

Gradients = tuple[Tensor | None, Tensor | None, Tensor | None]


class OfBatch:
    """In training. centered: x's shape, in the working dtype; its mean is 0, and mean and variance move with x."""

    def __init__(self, centered: Tensor, gamma: Tensor, eps: float, conventions: Conventions, axes: list[int]) -> None:
        self.axes, self.dtype = axes, centered.dtype
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

    def gradients(self, dy: Tensor | None, dcentered: Tensor | None) -> Gradients:
        """(dx, dgamma, dbeta) of sum(y * dy) + sum(centered * dcentered); of None nothing comes."""
        dx = dgamma = dbeta = None
        if dy is not None:
            dy = dy.to(self.dtype)  # x's shape
            dx = self.less_what_moves(dy)  # x's shape
            dgamma = sum_over(self.axes, dy * self.x_hat, self.dtype).reshape(-1)  # (C,)
            dbeta = sum_over(self.axes, dy, self.dtype).reshape(-1)  # (C,)
        if dcentered is not None:
            of_centered = dcentered - self.mean(dcentered)  # x's shape
            dx = of_centered if dx is None else dx + of_centered  # x's shape
        return dx, dgamma, dbeta

    def tangents(self, tx: Tensor | None, tgamma: Tensor | None, tbeta: Tensor | None) -> tuple[Tensor, Tensor]:
        """How (y, centered) change with x, gamma and beta; None is no change."""
        if tx is None:
            tcentered = ty = torch.zeros_like(self.x_hat)  # x's shape
        else:
            tx = tx.to(self.dtype)  # x's shape
            tcentered, ty = tx - self.mean(tx), self.less_what_moves(tx)  # x's shape, x's shape
        return with_parameters(ty, self.x_hat, tgamma, tbeta, self.gain.shape), tcentered


def of_constants(
    centered: Tensor, scale: Tensor, gamma: Tensor, axes: list[int], dy: Tensor | None, dcentered: Tensor | None
) -> Gradients:
    """`OfBatch.gradients` in prediction, where mean and scale (C*) are constants."""
    dx, dgamma, dbeta = dcentered, None, None
    if dy is not None:
        dy = dy.to(centered.dtype)  # x's shape
        dbeta = dy.sum(axes)  # (C,)
        dgamma = (dy * centered).sum(axes) * scale.reshape(-1)  # (C,)
        of_y = dy * (gamma.view(scale.shape) * scale)  # x's shape
        dx = of_y if dcentered is None else of_y + dcentered  # x's shape
    return dx, dgamma, dbeta


def along_constants(
    centered: Tensor, scale: Tensor, gamma: Tensor, tx: Tensor | None, tgamma: Tensor | None, tbeta: Tensor | None
) -> tuple[Tensor, Tensor]:
    """`OfBatch.tangents` in prediction."""
    tcentered = torch.zeros_like(centered) if tx is None else tx.to(centered.dtype)  # x's shape
    ty = (gamma.view(scale.shape) * scale) * tcentered  # x's shape
    return with_parameters(ty, centered * scale, tgamma, tbeta, scale.shape), tcentered


def with_parameters(
    ty: Tensor, x_hat: Tensor, tgamma: Tensor | None, tbeta: Tensor | None, shape: torch.Size
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
