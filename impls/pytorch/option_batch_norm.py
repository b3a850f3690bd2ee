"""The options of a batch norm in PyTorch over the plain layer: without scale, shift or moving statistics, their plain
average, a mask.

Under a mask autograd differentiates plain operations; the closed form of fast_batch_norm.py is for whole batches.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from impls.pytorch.batch_norm import BatchNorm, averaged_variance
from impls.pytorch.channels import check, other_axes, per_channel_shape, working_dtype
from impls.pytorch.fast_batch_norm import normalize_by_batch, normalize_by_moving


class OptionBatchNorm(BatchNorm):
    """`BatchNorm` with options.

    use_scale, use_bias: whether it has gamma, beta; without, there is no such parameter, and 1 or 0 takes its place.
    keeps_statistics: without moving statistics prediction normalizes by the batch's own, as training does.
    cumulative: the moving statistics are the average over all batches, whatever `momentum` is.
    """

    gamma: Any
    beta: Any
    one: Tensor
    zero: Tensor

    def __init__(
        self,
        *arguments: Any,
        use_scale: bool = True,
        use_bias: bool = True,
        keeps_statistics: bool = True,
        cumulative: bool = False,
        **named: Any,
    ) -> None:
        super().__init__(*arguments, **named)
        self.keeps_statistics, self.cumulative = keeps_statistics, cumulative
        self.register_buffer("one", torch.ones_like(self.gamma.detach()), persistent=False)  # (C,)
        self.register_buffer("zero", torch.zeros_like(self.beta.detach()), persistent=False)  # (C,)
        if not use_scale:
            self.register_parameter("gamma", None)
        if not use_bias:
            self.register_parameter("beta", None)
        if not keeps_statistics:
            del self.moving_mean, self.moving_var

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """mask: booleans that broadcast against x, of size 1 along the channels; what is False counts in no statistic.

        Where nothing counts, the moving statistics stay, and y is normalized by them.
        """
        gamma: Tensor = self.one if self.gamma is None else self.gamma  # (C,)
        beta: Tensor = self.zero if self.beta is None else self.beta  # (C,)
        if not self.training and self.keeps_statistics:
            mean, var = self.moving_statistics()
            return normalize_by_moving(x, gamma, beta, mean, var, self.eps, self.conventions)
        if mask is not None:
            return self.masked(x, gamma, beta, mask)
        y, mean, var = normalize_by_batch(x, gamma, beta, self.eps, self.conventions)
        if x.numel() > 0:
            self.update(mean, var, x.numel() // self.num_features)
        return y

    def masked(self, x: Tensor, gamma: Tensor, beta: Tensor, mask: Tensor) -> Tensor:
        check(x, self.num_features, self.conventions)
        shape, axes = per_channel_shape(x, self.conventions), other_axes(x, self.conventions)
        counts = mask.expand([1 if size > 1 and axis not in axes else size for axis, size in enumerate(x.shape)])
        n = int(counts.sum())  # how many values of a channel count
        if n == 0 and self.keeps_statistics:
            return normalize_by_moving(x, gamma, beta, *self.moving_statistics(), self.eps, self.conventions)
        wide = x.to(working_dtype(x, gamma))  # x's shape
        mean = torch.where(counts, wide, 0).sum(axes, keepdim=True) / n  # (C*)
        var = torch.where(counts, wide - mean, 0).square().sum(axes, keepdim=True) / n  # (C*)
        if self.conventions.eps_at == "inside_sqrt":
            x_hat = (wide - mean) / torch.sqrt(var + self.eps)  # x's shape
        else:
            x_hat = (wide - mean) / (torch.sqrt(var) + self.eps)  # x's shape
        self.update(mean.detach().flatten(), var.detach().flatten(), n)
        return (gamma.view(shape) * x_hat + beta.view(shape)).to(x.dtype)  # x's shape

    def moving_statistics(self) -> tuple[Tensor, Tensor]:
        """A plain average over all batches has no start to be freed of: it is not debiased."""
        return (self.moving_mean, self.moving_var) if self.cumulative else super().moving_statistics()

    @torch.no_grad()
    def update(self, mean: Tensor, var: Tensor, n: int) -> None:
        """Move the moving statistics, where there are any: the t-th batch of a cumulative average weighs 1/t."""
        if not self.keeps_statistics:
            return
        if not self.cumulative:
            super().update(mean, var, n)
            return
        self.updates += 1
        var = averaged_variance(var, n, self.conventions)  # (C,)
        new = 1 / self.updates.to(torch.promote_types(self.moving_mean.dtype, torch.float32))  # ()
        self.moving_mean.copy_((1 - new) * self.moving_mean + new * mean)
        self.moving_var.copy_((1 - new) * self.moving_var + new * var)
