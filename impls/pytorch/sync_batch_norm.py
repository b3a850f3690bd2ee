"""Batch normalization of a batch whose examples are spread over several processes, in PyTorch by torch.distributed.

Each process (rank) has a shard of the batch, of any size, possibly none. Forward gathers (count, mean, sum of squared
deviations) of every shard and merges them by the formula of Chan, Golub and LeVeque (1979) in the order of the ranks:
every rank does the same operations on the same numbers, so that their statistics are equal to the bit, given equal
hardware. Backward adds up two sums per channel over the ranks. Per training step and layer a rank sends

    forward   one all_gather of 2C + 2 numbers
    backward  one all_reduce of 2C numbers

dx is the exact gradient of the sum of all ranks' losses. dgamma and dbeta are those of the rank's own shard, as the
gradients of any other parameter are: summing or averaging them over the ranks is left to data parallelism.
DistributedDataParallel averages: for the gradient of a mean over the whole batch, a rank's loss is the sum over its
shard times ranks / batch size, which is the shard's mean where all shards have the same size.

(C*) in the shape comments is as in fast_batch_norm.py; R is the number of ranks.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable

from impls.pytorch.batch_norm import BatchNorm, moving_weights
from impls.pytorch.channels import check, other_axes, per_channel_shape, sum_over, working_dtype
from impls.pytorch.fast_batch_norm import inverse_std, normalize_by_moving, variance_slope
from reference.conventions import D2L, Conventions

Group = dist.ProcessGroup | None
"""The processes that share a batch. None: all there are, or this one alone where torch.distributed is not in use."""

COUNT_BASE = 2**12
"""A count travels as two digits of this base, so that float32 holds counts up to 2^36 exactly."""


class SyncBatchNorm(BatchNorm):
    """`BatchNorm` by the statistics of all ranks' shards in training. Prediction sends nothing.

    All ranks call it together, and run backward together, with shards of equal rank, channels and dtype; one with an
    empty shard takes part in both. First derivatives only.
    Raises as `BatchNorm` does; the count of values per channel is that of all shards together.
    """

    def __init__(
        self,
        num_features: int,
        eps: float | None = None,
        momentum: float | None = None,
        conventions: Conventions = D2L,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        process_group: Group = None,
    ) -> None:
        super().__init__(num_features, eps, momentum, conventions, device, dtype)
        self.process_group = process_group

    def forward(self, x: Tensor) -> Tensor:
        check(x, self.num_features, self.conventions)
        if not self.training:
            mean, var = self.moving_statistics()
            return normalize_by_moving(x, self.gamma, self.beta, mean, var, self.eps, self.conventions)
        y, mean, var, n = NormalizeByShards.apply(
            x, self.gamma, self.beta, self.eps, self.conventions, self.process_group
        )
        if x.numel() > 0 or n > 0:  # only a rank without values has to wait for the count
            self.update_from_shards(mean, var, n)
        return y

    @torch.no_grad()
    def update_from_shards(self, mean: Tensor, var: Tensor, n: Tensor) -> None:
        """`update` by a count n () that stays on the device: reading it would wait for all the work before it."""
        if self.conventions.moving_var == "unbiased":
            var = var * (n / (n - 1))  # (C,): NaN for one value
        keep, new = moving_weights(self.momentum, self.conventions, self.moving_mean.dtype)
        self.moving_mean.mul_(keep).add_(mean, alpha=new)
        self.moving_var.mul_(keep).add_(var, alpha=new)
        self.updates.add_(1)


class NormalizeByShards(torch.autograd.Function):
    """y = gamma * (x - mean) * scale + beta, with mean and scale functions of all ranks' x.

    Returns (y, mean (C,), biased variance (C,), count ()), the last three equal on all ranks and without gradient.
    """

    @staticmethod
    def forward(ctx, x, gamma, beta, eps, conventions, group):
        work = working_dtype(x, gamma)
        shape, axes = per_channel_shape(x, conventions), other_axes(x, conventions)
        n, mean, deviations = merged(*gathered(*shard_statistics(x, axes, work), group))  # (), (C,), (C,)
        local = x.numel() // len(gamma)
        if local <= 1 and conventions.single_value == "error" and n == 1:
            raise ValueError(
                f"batch norm in training needs more than one value per channel, got {local} here and no more elsewhere"
            )
        var = deviations / n.clamp(min=1)  # (C,)
        scale = inverse_std(var, eps, conventions).view(shape)  # (C*)
        centered = x - mean.view(shape)  # x's shape, working dtype
        y = centered * (gamma.view(shape) * scale)  # x's shape
        y += beta.view(shape)
        ctx.save_for_backward(centered, var.view(shape), scale, gamma, n)
        ctx.eps_at, ctx.axes, ctx.group = conventions.eps_at, axes, group
        ctx.mark_non_differentiable(mean, var, n)
        return y.to(x.dtype), mean, var, n

    @staticmethod
    @once_differentiable
    def backward(ctx, dy, _dmean, _dvar, _dn):
        centered, var, scale, gamma, n = ctx.saved_tensors
        shape = scale.shape
        local = torch.stack(
            [sum_over(ctx.axes, dy, centered.dtype), sum_over(ctx.axes, dy * centered, centered.dtype) * scale]
        )  # (2, C*): dbeta and dgamma of this shard
        dbeta, dgamma = summed(local, ctx.group) / n.clamp(min=1)  # (C*), (C*): means over all ranks' values
        slope = variance_slope(var, scale, ctx.eps_at)  # (C*) or 1
        dx = dy - dbeta - centered * (scale * slope * dgamma)  # x's shape
        dx *= gamma.view(shape) * scale
        own_dbeta, own_dgamma = local.flatten(1).to(gamma.dtype)  # (C,), (C,)
        return dx.to(dy.dtype), own_dgamma, own_dbeta, None, None, None


# --- the statistics of a shard, and of all ---


def shard_statistics(x: Tensor, axes: list[int], dtype: torch.dtype) -> tuple[int, Tensor, Tensor]:
    """(count, mean (C,), sum of squared deviations (C,)) by two passes; zeros for an empty shard."""
    total = sum_over(axes, x, dtype)  # (C*)
    n = x.numel() // total.numel()
    mean = total / max(1, n)  # (C*)
    deviations = sum_over(axes, (x - mean).square(), dtype)  # (C*)
    return n, mean.flatten(), deviations.flatten()


def merged(n: Tensor, mean: Tensor, deviations: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Statistics (R,), (R, C), (R, C) of shards -> (), (C,), (C,) of all: neighbours first, then their neighbours.

    Chan, Golub and LeVeque 1979. A shard of no values changes nothing.
    """
    n = n.view(-1, 1)  # (R, 1)
    while len(n) > 1:
        even = len(n) // 2 * 2
        n_a, n_b = n[0:even:2], n[1:even:2]  # (R/2, 1)
        mean_a, mean_b = mean[0:even:2], mean[1:even:2]  # (R/2, C)
        n_ab = n_a + n_b
        share = (n_b / n_ab.clamp(min=1)).to(mean.dtype)  # (R/2, 1): what b is of both
        weight = (n_a * n_b / n_ab.clamp(min=1)).to(mean.dtype)  # (R/2, 1)
        delta = mean_b - mean_a  # (R/2, C)
        mean_ab = mean_a + delta * share  # (R/2, C)
        deviations_ab = deviations[0:even:2] + deviations[1:even:2] + weight * delta * delta  # (R/2, C)
        n = torch.cat([n_ab, n[even:]])  # an odd last one is left over
        mean, deviations = torch.cat([mean_ab, mean[even:]]), torch.cat([deviations_ab, deviations[even:]])
    return n[0, 0], mean[0], deviations[0]


# --- what is sent ---


def gathered(n: int, mean: Tensor, deviations: Tensor, group: Group) -> tuple[Tensor, Tensor, Tensor]:
    """The statistics of every rank's shard: counts (R,) float64, means (R, C), sums of squared deviations (R, C)."""
    own = torch.cat([mean, deviations, mean.new_tensor(divmod(n, COUNT_BASE))])  # (2C + 2,)
    ranks = dist.get_world_size(group) if dist.is_initialized() else 1
    everyone = own.new_empty(ranks, len(own))  # (R, 2C + 2)
    if dist.is_initialized():
        dist.all_gather(list(everyone.unbind()), own, group)
    else:
        everyone[0] = own
    means, sums, counts = everyone.split([len(mean), len(mean), 2], dim=1)  # (R, C), (R, C), (R, 2)
    high, low = counts.to(torch.float64).unbind(1)  # (R,), (R,)
    return high * COUNT_BASE + low, means, sums


def summed(values: Tensor, group: Group) -> Tensor:
    """The sum over all ranks, equal on each."""
    values = values.clone()
    if dist.is_initialized():
        dist.all_reduce(values, dist.ReduceOp.SUM, group)
    return values
