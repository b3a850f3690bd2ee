"""The fast form of batch normalization in PyTorch: autograd functions with a closed-form backward.

The layer is bound by memory, not by arithmetic, so each pass over x counts: the forward and the backward of training
(Ioffe and Szegedy 2015, section 3) read and write arrays of x's size as few times as plain PyTorch operations allow.

Whatever the rank of x, the statistics have a shape that broadcasts against it, (1, C, 1, ...) or (1, ..., C), which
is written (C*) in the shape comments.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from impls.pytorch.channels import check, other_axes, per_channel_shape, working_dtype
from reference.conventions import Conventions


def normalize_by_batch(
    x: Tensor, gamma: Tensor, beta: Tensor, eps: float, conventions: Conventions
) -> tuple[Tensor, Tensor, Tensor]:
    """Training: (y, batch mean, biased batch variance). The statistics (C,) carry no gradient."""
    check(x, len(gamma), conventions)
    if x.numel() == len(gamma) and conventions.single_value == "error":
        raise ValueError(
            f"batch norm in training needs more than one value per channel, got x of shape {tuple(x.shape)}"
        )
    return NormalizeByBatch.apply(x, gamma, beta, eps, conventions)


def normalize_by_moving(
    x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, var: Tensor, eps: float, conventions: Conventions
) -> Tensor:
    """Prediction: y, by statistics (C,) that are constants."""
    check(x, len(gamma), conventions)
    return NormalizeByMoving.apply(x, gamma, beta, mean, var, eps, conventions)


class NormalizeByBatch(torch.autograd.Function):
    """y = gamma * (x - mean) * scale + beta, with mean and scale functions of x."""

    @staticmethod
    def forward(ctx, x, gamma, beta, eps, conventions):
        work = working_dtype(x, gamma)
        shape, axes = per_channel_shape(x, conventions), other_axes(x, conventions)
        if x.numel() == 0:
            mean = x.new_zeros(shape, dtype=work)  # (C*): the mean of no values would be NaN
            centered, var = x - mean, mean  # x's shape, (C*)
            y = centered.clone()  # x's shape
        else:
            n = x.numel() // len(gamma)
            mean = sum_over(axes, x, work) / n  # (C*)
            centered = x - mean  # x's shape, working dtype
            y = centered.square()  # x's shape; its memory is y's, for now it holds the squares
            var = sum_over(axes, y, work) / n  # (C*)
        scale = inverse_std(var, eps, conventions)  # (C*)
        # From x - mean, never x * a + b: that difference would cancel where mean is large against std.
        torch.mul(centered, gamma.view(shape) * scale, out=y)  # x's shape
        y += beta.view(shape)
        ctx.save_for_backward(centered, var, scale, gamma)
        ctx.eps_at, ctx.axes = conventions.eps_at, axes
        mean, var = mean.flatten(), var.flatten()  # (C,)
        ctx.mark_non_differentiable(mean, var)
        return y.to(x.dtype), mean, var

    @staticmethod
    @once_differentiable
    def backward(ctx, dy, _dmean, _dvar):
        centered, var, scale, gamma = ctx.saved_tensors
        shape, axes = scale.shape, ctx.axes
        n = max(1, centered.numel() // scale.numel())
        dbeta = sum_over(axes, dy, centered.dtype)  # (C*)
        dx = dy * centered  # x's shape; its memory is dx's, for now it holds the products
        dgamma = sum_over(axes, dx, centered.dtype) * scale  # (C*)
        slope = variance_slope(var, scale, ctx.eps_at)  # (C*) or 1
        # dx = gamma * scale * (dy - dbeta/n - x_hat * slope * dgamma/n), with x_hat = centered * scale
        torch.mul(centered, scale * slope * dgamma / n, out=dx)
        dx += dbeta / n
        torch.sub(dy, dx, out=dx)
        dx *= gamma.view(shape) * scale
        return dx.to(dy.dtype), dgamma.flatten().to(gamma.dtype), dbeta.flatten().to(gamma.dtype), None, None


class NormalizeByMoving(torch.autograd.Function):
    """y = gamma * (x - mean) * scale + beta, with mean and scale constants."""

    @staticmethod
    def forward(ctx, x, gamma, beta, mean, var, eps, conventions):
        work = working_dtype(x, gamma)
        shape = per_channel_shape(x, conventions)
        scale = inverse_std(var.to(work), eps, conventions).view(shape)  # (C*)
        centered = x - mean.to(work).view(shape)  # x's shape
        y = centered * (gamma.view(shape) * scale)  # x's shape
        y += beta.view(shape)
        ctx.save_for_backward(centered, scale, gamma)
        ctx.axes = other_axes(x, conventions)
        return y.to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        centered, scale, gamma = ctx.saved_tensors
        dbeta = dy.sum(ctx.axes, dtype=centered.dtype)  # (C,)
        dgamma = (dy * centered).sum(ctx.axes) * scale.flatten()  # (C,)
        dx = dy * (gamma.view(scale.shape) * scale)  # x's shape
        return dx.to(dy.dtype), dgamma.to(gamma.dtype), dbeta.to(gamma.dtype), None, None, None, None


def sum_over(axes: list[int], x: Tensor, dtype: torch.dtype) -> Tensor:
    """The sum of x, of shape (C*): within each example, then over the examples.

    Every other operation gives a thread the same examples of a batch. So does this one, and not channels, whose
    values the thread would have to fetch from another core.
    """
    first, *rest = axes  # the examples' axis, and those within an example
    if rest:
        x = x.sum(rest, keepdim=True, dtype=dtype)  # (N, C, 1, ...) or (N, 1, ..., C)
    return x.sum(first, keepdim=True, dtype=dtype)  # (C*)


def inverse_std(var: Tensor, eps: float, conventions: Conventions) -> Tensor:
    if conventions.eps_at == "inside_sqrt":
        return 1 / torch.sqrt(var + eps)  # as var
    return 1 / (torch.sqrt(var) + eps)  # as var


def variance_slope(var: Tensor, scale: Tensor, eps_at: str) -> Tensor | float:
    """How the scale depends on var, relative to the -scale^3/2 that the closed form assumes.

    With eps outside the root, d scale/d var = -scale^2/(2 sqrt(var)): a factor 1/(scale sqrt(var)).
    A constant channel (var = 0) has x_hat = 0 and takes no slope.
    """
    if eps_at == "inside_sqrt":
        return 1.0
    std = torch.sqrt(var)  # (C*)
    return torch.where(std > 0, 1 / (scale * std), 0.0)  # (C*)
