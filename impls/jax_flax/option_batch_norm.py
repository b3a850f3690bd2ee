"""The options of a batch norm in JAX and flax over the plain module: without scale, shift or moving statistics, their
plain average, a mask.

Under a mask JAX differentiates plain operations; the closed form of fast_batch_norm.py is for whole batches.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from impls.jax_flax.batch_norm import BatchNorm, batch_norm
from impls.jax_flax.channels import checked_count, other_axes, per_channel_shape, widened
from impls.jax_flax.fast_batch_norm import normalize


class OptionBatchNorm(BatchNorm):
    """`BatchNorm` with options.

    use_scale, use_bias: whether it has gamma, beta; without, there is no such parameter, and 1 or 0 takes its place.
    keeps_statistics: without moving statistics prediction normalizes by the batch's own, as training does.
    cumulative: the moving statistics are the average over all batches, whatever `momentum` is.
    Raises NotImplementedError for debiased averages.
    """

    gamma: Any
    beta: Any
    moving_mean: Any
    moving_var: Any

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
        if self.conventions.debias:
            raise NotImplementedError("a batch norm with options does not debias its averages; BatchNorm does")
        self.keeps_statistics, self.cumulative = keeps_statistics, cumulative
        self.param_dtype = self.gamma[...].dtype
        if not use_scale:
            self.gamma = None
        if not use_bias:
            self.beta = None
        if not keeps_statistics:
            self.moving_mean = self.moving_var = None

    def __call__(self, x, mask=None):
        """x -> y. mask: booleans that broadcast against x, of size 1 along the channels; what is False counts in no
        statistic. Where nothing counts, the moving statistics stay, and y is normalized by them.
        """
        x = jnp.asarray(x)
        gamma = jnp.ones(self.num_features, self.param_dtype) if self.gamma is None else self.gamma[...]  # (C,)
        beta = jnp.zeros(self.num_features, self.param_dtype) if self.beta is None else self.beta[...]  # (C,)
        mean, var = self.statistics()  # (C,), (C,)
        predicts = self.use_running_average and self.keeps_statistics
        if predicts or (mask is None and not self.cumulative):
            y, mean, var = batch_norm(
                x, gamma, beta, mean, var, self.eps, self.momentum, training=not predicts, conventions=self.conventions
            )
            moves = x.size > 0 and not predicts
        else:
            y, mean, var, moves = self.counted(x, gamma, beta, mean, var, mask)
        if self.keeps_statistics and not predicts:
            self.moving_mean[...], self.moving_var[...] = mean, var
            self.updates[...] += jnp.asarray(moves, self.updates[...].dtype)
        return y

    def statistics(self):
        """(moving mean, moving variance); those of a new layer where none are kept."""
        if not self.keeps_statistics:
            return jnp.zeros(self.num_features, self.param_dtype), jnp.ones(self.num_features, self.param_dtype)
        return self.moving_mean[...], self.moving_var[...]

    def counted(self, x, gamma, beta, moving_mean, moving_var, mask):
        """A training step: (y, the moving statistics after it, whether they moved)."""
        checked_count(x, self.num_features, self.conventions)
        axes, shape = other_axes(x, self.conventions), per_channel_shape(x, self.conventions)
        wide, gamma, beta = widened(x, gamma, beta, self.conventions)  # x's shape, (C*), (C*)
        counts = jnp.ones((1,) * x.ndim, bool) if mask is None else jnp.asarray(mask, bool)
        sizes = tuple(size if axis in axes else 1 for axis, size in enumerate(x.shape))
        counts = jnp.broadcast_to(counts, sizes)  # x's shape, 1 along the channels
        n = counts.sum()  # (): how many values of a channel count
        divisor = jnp.maximum(n, 1).astype(wide.dtype)
        mean = jnp.where(counts, wide, 0).sum(axes, keepdims=True) / divisor  # (C*)
        var = jnp.square(jnp.where(counts, wide - mean, 0)).sum(axes, keepdims=True) / divisor  # (C*)
        used_mean = jnp.where(n > 0, mean, moving_mean.astype(wide.dtype).reshape(shape))  # (C*)
        used_var = jnp.where(n > 0, var, moving_var.astype(wide.dtype).reshape(shape))  # (C*)
        y = normalize(wide, gamma, beta, used_mean, used_var, self.eps, self.conventions)  # x's shape
        if self.conventions.moving_var == "unbiased":
            var = var * (n / (n - 1))  # (C*)
        keep, new = self.weights_of_next(moving_mean.dtype)
        moved = [
            jnp.where(n > 0, keep * kept + new * jax.lax.stop_gradient(own.reshape(-1)), kept).astype(kept.dtype)
            for own, kept in ((mean, moving_mean), (var, moving_var))
        ]
        return y.astype(x.dtype), *moved, n > 0

    def weights_of_next(self, dtype):
        """(weight of the old value, weight of the new one)."""
        if self.cumulative:
            new = 1 / (self.updates[...] + 1).astype(dtype)
            return 1 - new, new
        momentum = jnp.asarray(self.momentum, dtype)
        return (momentum, 1 - momentum) if self.conventions.momentum == "keep" else (1 - momentum, momentum)
