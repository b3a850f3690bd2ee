"""Batch normalization (Ioffe and Szegedy 2015) in PyTorch, from scratch: a function and a module.

The normalization is an autograd function with the closed-form backward of the paper's section 3. It reads and
writes x as few times as plain PyTorch operations allow: the layer is bound by memory, not by arithmetic.

Whatever the rank of x, the statistics have a shape that broadcasts against it: (1, C, 1, ...) or (1, ..., C),
written `stat` in the shape comments below.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from reference.conventions import D2L, Conventions

RANKS = (2, 3, 4, 5)


def batch_norm(
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    moving_mean: Tensor,
    moving_var: Tensor,
    eps: float,
    momentum: float,
    *,
    training: bool,
    conventions: Conventions = D2L,
) -> tuple[Tensor, Tensor, Tensor]:
    """The tutorial's function: (y, moving_mean, moving_var). Inputs stay unmodified.

    x: rank 2 to 5, channels at `conventions.channel_axis`; the rest (C,). y has x's shape and dtype;
    the arithmetic and the statistics are at least float32. An empty batch leaves the moving ones as they are.
    Where the conventions debias, this is taken as the first update; `BatchNorm` counts them.
    Raises TypeError for a non-float x, ValueError for a wrong rank or channel count and, where
    `single_value` is "error", for one value per channel in training.
    """
    if not training:
        y = normalize_by_moving(x, gamma, beta, moving_mean, moving_var, eps, conventions)
        return y, moving_mean, moving_var
    y, mean, var = normalize_by_batch(x, gamma, beta, eps, conventions)
    if x.numel() == 0:
        return y, moving_mean, moving_var
    n = x.numel() // len(gamma)
    average_mean, average_var = moved(moving_mean, moving_var, mean, var, n, momentum, conventions)
    average_mean = debiased(average_mean, 1, momentum, conventions)
    return y, average_mean, debiased(average_var, 1, momentum, conventions)


class BatchNorm(nn.Module):
    """A batch-norm layer. Its mode is the module's: `train()` or `eval()`.

    Parameters gamma, beta; buffers moving_mean, moving_var, all (C,), and `updates`, the number of training
    steps. Where the conventions debias, the buffers hold the raw averages; `moving_statistics()` gives what
    is used and should be shown. For 16-bit x leave the module in float32.
    """

    moving_mean: Tensor
    moving_var: Tensor
    updates: Tensor

    def __init__(
        self,
        num_features: int,
        eps: float | None = None,
        momentum: float | None = None,
        conventions: Conventions = D2L,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if num_features < 1:
            raise ValueError(f"num_features must be at least 1, got {num_features}")
        self.num_features = num_features
        self.eps = conventions.default_eps if eps is None else eps
        self.momentum = conventions.default_momentum if momentum is None else momentum
        self.conventions = conventions
        self.gamma = nn.Parameter(torch.ones(num_features, device=device, dtype=dtype))  # (C,)
        self.beta = nn.Parameter(torch.zeros(num_features, device=device, dtype=dtype))  # (C,)
        self.register_buffer("moving_mean", torch.zeros(num_features, device=device, dtype=dtype))  # (C,)
        self.register_buffer("moving_var", torch.ones(num_features, device=device, dtype=dtype))  # (C,)
        self.register_buffer("updates", torch.zeros((), device=device, dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            mean, var = self.moving_statistics()
            return normalize_by_moving(x, self.gamma, self.beta, mean, var, self.eps, self.conventions)
        y, mean, var = normalize_by_batch(x, self.gamma, self.beta, self.eps, self.conventions)
        if x.numel() > 0:
            self.update(mean, var, x.numel() // self.num_features)
        return y

    @torch.no_grad()
    def update(self, mean: Tensor, var: Tensor, n: int) -> None:
        """Move the moving statistics towards those of a batch of n values per channel."""
        options = n, self.momentum, self.conventions
        new_mean, new_var = moved(self.moving_mean, self.moving_var, mean, var, *options)
        self.moving_mean.copy_(new_mean)
        self.moving_var.copy_(new_var)
        self.updates += 1

    def moving_statistics(self) -> tuple[Tensor, Tensor]:
        """(moving mean, moving variance) as prediction uses them: debiased where the conventions say so."""
        return (
            debiased(self.moving_mean, self.updates, self.momentum, self.conventions),
            debiased(self.moving_var, self.updates, self.momentum, self.conventions),
        )

    def extra_repr(self) -> str:
        return f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, conventions={self.conventions}"


# --- normalization ---


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
        stat, axes = stat_shape(x, conventions), reduced_axes(x, conventions)
        if x.numel() == 0:
            mean = x.new_zeros(stat, dtype=work)  # stat: the mean of no values would be NaN
            centered, var = x - mean, mean  # x's shape, stat
            y = centered.clone()  # x's shape
        else:
            n = x.numel() // len(gamma)
            mean = sum_over(axes, x, work) / n  # stat
            centered = x - mean  # x's shape, working dtype
            y = centered.square()  # x's shape; its memory is y's, for now it holds the squares
            var = sum_over(axes, y, work) / n  # stat
        scale = inverse_std(var, eps, conventions)  # stat
        # From x - mean, never x * a + b: that difference would cancel where mean is large against std.
        torch.mul(centered, gamma.view(stat) * scale, out=y)  # x's shape
        y += beta.view(stat)
        ctx.save_for_backward(centered, var, scale, gamma)
        ctx.eps_at, ctx.axes = conventions.eps_at, axes
        mean, var = mean.flatten(), var.flatten()  # (C,)
        ctx.mark_non_differentiable(mean, var)
        return y.to(x.dtype), mean, var

    @staticmethod
    @once_differentiable
    def backward(ctx, dy, _dmean, _dvar):
        centered, var, scale, gamma = ctx.saved_tensors
        stat, axes = scale.shape, ctx.axes
        n = max(1, centered.numel() // scale.numel())
        dbeta = sum_over(axes, dy, centered.dtype)  # stat
        dx = dy * centered  # x's shape; its memory is dx's, for now it holds the products
        dgamma = sum_over(axes, dx, centered.dtype) * scale  # stat
        slope = variance_slope(var, scale, ctx.eps_at)  # stat or 1
        # dx = gamma * scale * (dy - dbeta/n - x_hat * slope * dgamma/n), with x_hat = centered * scale
        torch.mul(centered, scale * slope * dgamma / n, out=dx)
        dx += dbeta / n
        torch.sub(dy, dx, out=dx)
        dx *= gamma.view(stat) * scale
        return dx.to(dy.dtype), dgamma.flatten().to(gamma.dtype), dbeta.flatten().to(gamma.dtype), None, None


class NormalizeByMoving(torch.autograd.Function):
    """y = gamma * (x - mean) * scale + beta, with mean and scale constants."""

    @staticmethod
    def forward(ctx, x, gamma, beta, mean, var, eps, conventions):
        work = working_dtype(x, gamma)
        stat = stat_shape(x, conventions)
        scale = inverse_std(var.to(work), eps, conventions).view(stat)  # stat
        centered = x - mean.to(work).view(stat)  # x's shape
        y = centered * (gamma.view(stat) * scale)  # x's shape
        y += beta.view(stat)
        ctx.save_for_backward(centered, scale, gamma)
        ctx.axes = reduced_axes(x, conventions)
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
    """The sum of x, of shape stat: within each example, then over the examples.

    Every other operation gives a thread the same examples of a batch. So does this one, and not channels, whose
    values the thread would have to fetch from another core.
    """
    first, *rest = axes  # the examples' axis, and those within an example
    if rest:
        x = x.sum(rest, keepdim=True, dtype=dtype)  # (N, C, 1, ...) or (N, 1, ..., C)
    return x.sum(first, keepdim=True, dtype=dtype)  # stat


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
    std = torch.sqrt(var)  # stat
    return torch.where(std > 0, 1 / (scale * std), 0.0)  # stat


# --- moving statistics ---


def moved(
    moving_mean: Tensor,
    moving_var: Tensor,
    mean: Tensor,
    var: Tensor,
    n: int,
    momentum: float,
    conventions: Conventions,
) -> tuple[Tensor, Tensor]:
    """moving = keep_weight * moving + new_weight * batch, for the mean and for the variance; all (C,)."""
    if conventions.moving_var == "unbiased":
        var = var * (n / (n - 1)) if n > 1 else torch.full_like(var, torch.nan)  # (C,)
    keep, new = moving_weights(momentum, conventions, moving_mean)
    return keep * moving_mean + new * mean, keep * moving_var + new * var  # (C,), (C,)


def moving_weights(momentum: float, conventions: Conventions, like: Tensor) -> tuple[Tensor, Tensor]:
    """(weight of the old value, weight of the new), each from the very number that was given; scalars.

    Made on the device by a fill, not copied to it: a copy would make the step wait.
    """
    given = torch.full((), momentum, dtype=torch.promote_types(like.dtype, torch.float32), device=like.device)
    rest = 1 - given
    return (given, rest) if conventions.momentum == "keep" else (rest, given)


def debiased(average: Tensor, updates: Tensor | int, momentum: float, conventions: Conventions) -> Tensor:
    """Kingma and Ba 2015, section 3: divide by 1 - keep_weight^t. Before any update: as it is."""
    if not conventions.debias:
        return average
    keep, _ = moving_weights(momentum, conventions, average)
    t = torch.as_tensor(updates, device=average.device)  # ()
    weight = 1 - keep**t  # (): of all updates together
    return torch.where(t > 0, average / weight, average)  # (C,)


# --- shapes, dtypes, and what is accepted ---


def stat_shape(x: Tensor, conventions: Conventions) -> list[int]:
    """The shape in which (C,) broadcasts against x: (1, C, 1, ...) or (1, ..., C)."""
    shape = [1] * x.ndim
    shape[conventions.channel_axis] = x.shape[conventions.channel_axis]
    return shape


def reduced_axes(x: Tensor, conventions: Conventions) -> list[int]:
    """Every axis but the channels'."""
    axes = list(range(x.ndim))
    axes.pop(conventions.channel_axis)
    return axes


def working_dtype(x: Tensor, gamma: Tensor) -> torch.dtype:
    """The dtype of statistics and arithmetic: at least float32."""
    return torch.promote_types(torch.promote_types(x.dtype, gamma.dtype), torch.float32)


def check(x: Tensor, num_features: int, conventions: Conventions) -> None:
    """Raises TypeError for a non-float dtype, ValueError for a wrong rank or channel count."""
    if not x.is_floating_point():
        raise TypeError(f"batch norm takes floating-point input, got {x.dtype}; convert x first")
    shape, axis = tuple(x.shape), conventions.channel_axis
    if x.ndim not in RANKS:
        raise ValueError(f"batch norm takes inputs of rank 2 to 5, got rank {x.ndim} (shape {shape})")
    if shape[axis] != num_features:
        raise ValueError(
            f"batch norm for {num_features} channels got {shape[axis]} on axis {axis} "
            f"(shape {shape}); is the channel axis where you think it is?"
        )
