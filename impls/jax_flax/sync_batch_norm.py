"""Batch normalization of a batch whose examples are spread over several devices, in JAX: for the inside of a shard_map.

Each device (rank) has a shard of the batch. Forward gathers (mean, sum of squared deviations, count) of every shard and
merges them by the formula of Chan, Golub and LeVeque (1979) in the order of the devices: each does the same operations
on the same numbers, so that their statistics are equal to the bit, given equal hardware. Backward adds up two sums per
channel over the devices. Per training step and layer a device sends

    forward   one all_gather of 2C + 1 numbers
    backward  one psum of 2C numbers

shard_map gives every device as many examples. For uneven shards they are padded: `examples` says how many of the
device's first ones count, possibly none; the y and dx of the others are 0.

dx is the exact gradient of the sum of all devices' losses. dgamma and dbeta are those of the device's own shard, as the
gradients of any other replicated parameter are. With shard_map's `check_vma`, JAX adds up the gradients of what is
replicated itself; without it, a psum over the devices is left to the training step.

Under jit over a sharded array, without shard_map, nothing of this is needed: batch_norm.py is synchronized there.

(C*) in the shape comments is as in fast_batch_norm.py; R is the number of devices.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp

from impls.jax_flax.batch_norm import BatchNorm, batch_norm, moved
from impls.jax_flax.channels import checked_count, other_axes, widened
from impls.jax_flax.fast_batch_norm import inverse_std, variance_slope
from reference.conventions import D2L, Conventions


def sync_batch_norm(
    x: jax.Array,
    gamma: jax.Array,
    beta: jax.Array,
    moving_mean: jax.Array,
    moving_var: jax.Array,
    eps: float,
    momentum: float,
    *,
    axis_name: str,
    examples: jax.Array | None = None,
    conventions: Conventions = D2L,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(y, moving_mean, moving_var) in training, by the statistics of all shards along the mesh axis `axis_name`.

    x, gamma and so on as in `batch_norm`; examples: (), how many of x's first examples count, or None for all.
    Where no device has any, the moving statistics stay as they are. Gradients of first order only.
    Raises as `batch_norm` does, but cannot refuse one value per channel, since counts are known on the device alone:
    where `single_value` is "error", y is NaN then.
    """
    if conventions.debias:
        raise NotImplementedError("sync_batch_norm has no count of updates to debias by; use the module, SyncBatchNorm")
    y, mean, var, n = by_shards(x, gamma, beta, eps, axis_name, examples, conventions)  # x's shape, (C,), (C,), ()
    return y, *moved_if(n > 0, moving_mean, moving_var, mean, var, momentum, conventions)


def by_shards(x, gamma, beta, eps, axis_name, examples, conventions):
    """(y, mean, variance as it is averaged, count) of all shards: x's shape, (C,), (C,), ()."""
    x = jnp.asarray(x)
    checked_count(x, gamma.shape[0], conventions)
    examples = jnp.asarray(x.shape[0] if examples is None else examples, jnp.int32)
    wide, gamma, beta = widened(x, gamma, beta, conventions)  # x's shape, (C*), (C*)
    varying = partial(jax.lax.pcast, axis_name=axis_name, to="varying")  # transposed: the sum over the devices
    eps = jax.lax.stop_gradient(jnp.asarray(eps, wide.dtype))
    y, mean, var, n = normalize_by_shards(
        wide, varying(gamma), varying(beta), eps, examples, other_axes(x, conventions), conventions, axis_name
    )  # x's shape, (C*), (C*), ()
    if conventions.moving_var == "unbiased":
        var = var * (n / (n - 1))  # (C*): NaN for one value
    if conventions.single_value == "error":
        y = jnp.where(n == 1, jnp.nan, y)
    return y.astype(x.dtype), mean.reshape(-1), var.reshape(-1), n


def moved_if(some, moving_mean, moving_var, mean, var, momentum, conventions):
    """The moving statistics (C,), moved where there are values at all."""
    return tuple(
        jnp.where(some, moved(moving, batch, momentum, conventions), moving)
        for moving, batch in ((moving_mean, mean), (moving_var, var))
    )


class SyncBatchNorm(BatchNorm):
    """`BatchNorm` by the statistics of all shards along `axis_name` in training; for the inside of a shard_map."""

    def __init__(self, *arguments, axis_name: str = "data", **keywords) -> None:
        super().__init__(*arguments, **keywords)
        self.axis_name = axis_name

    def __call__(self, x, examples=None):
        """x -> y. examples: as in `sync_batch_norm`."""
        gamma, beta = self.gamma[...], self.beta[...]  # (C,), (C,)
        if self.use_running_average:
            mean, var = self.moving_statistics()
            plain = replace(self.conventions, debias=False)
            return batch_norm(x, gamma, beta, mean, var, self.eps, self.momentum, training=False, conventions=plain)[0]
        y, mean, var, n = by_shards(x, gamma, beta, self.eps, self.axis_name, examples, self.conventions)
        self.moving_mean[...], self.moving_var[...] = moved_if(
            n > 0, self.moving_mean[...], self.moving_var[...], mean, var, self.momentum, self.conventions
        )
        self.updates[...] += n > 0
        return y


# --- forward ---


@partial(jax.custom_vjp, nondiff_argnums=(5, 6, 7))
def normalize_by_shards(x, gamma, beta, eps, examples, axes, conventions, axis_name):
    """(y, mean (C*), biased variance (C*), count ()), by all shards. Only y has a gradient."""
    return normalize_by_shards_forward(x, gamma, beta, eps, examples, axes, conventions, axis_name)[0]


def normalize_by_shards_forward(x, gamma, beta, eps, examples, axes, conventions, axis_name):
    counts = is_example(x, examples)  # (N, 1, ...)
    n_here = (examples * (x.size // (max(1, x.shape[0]) * gamma.size))).astype(x.dtype)  # ()
    mean = jnp.where(counts, x, 0).sum(axes, keepdims=True) / jnp.maximum(n_here, 1)  # (C*)
    deviations = jnp.where(counts, jnp.square(x - mean), 0).sum(axes, keepdims=True)  # (C*)
    own = jnp.concatenate([mean.reshape(-1), deviations.reshape(-1), n_here[None]])  # (2C + 1,)
    everyone = jax.lax.all_gather(own, axis_name)  # (R, 2C + 1)
    means, sums, n = everyone[:, : gamma.size], everyone[:, gamma.size : -1], everyone[:, -1]
    n, mean, deviations = merged(n, means, sums)  # (), (C,), (C,)
    mean, var = mean.reshape(gamma.shape), (deviations / jnp.maximum(n, 1)).reshape(gamma.shape)  # (C*), (C*)
    y = gamma * ((x - mean) * inverse_std(var, eps, conventions)) + beta  # x's shape
    return (jnp.where(counts, y, 0), mean, var, n), (x, gamma, mean, var, n, eps, counts)


def is_example(x, examples):
    """Which of the examples count, in a shape that broadcasts against x."""
    return (jnp.arange(x.shape[0]) < examples).reshape(-1, *[1] * (x.ndim - 1))  # (N, 1, ...)


def merged(n, mean, deviations):
    """Statistics (R,), (R, C), (R, C) of shards -> (), (C,), (C,) of all: neighbours first, then their neighbours.

    Chan, Golub and LeVeque 1979. A shard of no values changes nothing.
    """
    n = n[:, None]  # (R, 1)
    while len(n) > 1:
        even = len(n) // 2 * 2
        n_a, n_b = n[0:even:2], n[1:even:2]  # (R/2, 1)
        mean_a, mean_b = mean[0:even:2], mean[1:even:2]  # (R/2, C)
        n_ab = n_a + n_b
        share = n_b / jnp.maximum(n_ab, 1)  # (R/2, 1): what b is of both
        weight = n_a * share  # (R/2, 1)
        delta = mean_b - mean_a  # (R/2, C)
        mean_ab = mean_a + delta * share  # (R/2, C)
        deviations_ab = deviations[0:even:2] + deviations[1:even:2] + weight * delta * delta  # (R/2, C)
        n = jnp.concatenate([n_ab, n[even:]])  # an odd last one is left over
        mean, deviations = jnp.concatenate([mean_ab, mean[even:]]), jnp.concatenate([deviations_ab, deviations[even:]])
    return n[0, 0], mean[0], deviations[0]


# --- backward ---


def normalize_by_shards_backward(axes, conventions, axis_name, kept, cotangents):
    """The gradients of the sum of all devices' sum(y * dy), with mean and var as functions of their x."""
    x, gamma, mean, var, n, eps, counts = kept
    dy = jnp.where(counts, cotangents[0], 0)  # x's shape
    scale = inverse_std(var, eps, conventions)  # (C*)
    x_hat = (x - mean) * scale  # x's shape
    own = jnp.stack([(dy * x_hat).sum(axes, keepdims=True), dy.sum(axes, keepdims=True)])  # (2, C*)
    dgamma, dbeta = jax.lax.psum(own, axis_name) / jnp.maximum(n, 1)  # (C*), (C*): means over all devices' values
    slope = variance_slope(var, scale, conventions)  # (C*) or 1
    dx = jnp.where(counts, gamma * scale * (dy - dbeta - x_hat * (slope * dgamma)), 0)  # x's shape
    return dx, own[0], own[1], jnp.zeros_like(eps), None


normalize_by_shards.defvjp(normalize_by_shards_forward, normalize_by_shards_backward)
