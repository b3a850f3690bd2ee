"""Batch normalization (Ioffe and Szegedy 2015) in JAX: the formula as one would teach it, then a function and a
flax.nnx module with a closed-form gradient.

In training, mean and variance are functions of x, and JAX's own derivative would keep and revisit the result of every
small operation between them; the closed form, in fast_batch_norm.py, keeps x and two numbers per channel. A test holds
the two forms equal.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from impls.jax_flax.channels import RANKS, checked_count, other_axes, per_channel_shape, sums_over, widened
from impls.jax_flax.fast_batch_norm import normalize, normalize_by_batch
from impls.jax_flax.pallas_choice import suits_kernels
from impls.jax_flax.pallas_plan import Chip, Kernels
from reference.conventions import D2L, Conventions


def plain_batch_norm(
    x: jax.Array,
    gamma: jax.Array,
    beta: jax.Array,
    moving_mean: jax.Array,
    moving_var: jax.Array,
    eps: float,
    momentum: float,
    *,
    training: bool,
    conventions: Conventions = D2L,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(y, moving_mean, moving_var) by the plain two-pass formula, in x's dtype. JAX differentiates it.

    x: rank 2 to 5, channels at `conventions.channel_axis`, at least one value per channel; the rest (C,). (C*) in the
    comments is (C,) with size 1 on every other axis of x, so that it broadcasts. Debiasing takes a count of updates
    and is left to `BatchNorm`.
    """
    axes = other_axes(x, conventions)  # all but the channels'
    shape = per_channel_shape(x, conventions)  # the sizes of (C*)
    if training:
        mean = x.mean(axes, keepdims=True)  # (C*)
        var = ((x - mean) ** 2).mean(axes, keepdims=True)  # (C*): sum/n, biased
    else:
        mean, var = moving_mean.reshape(shape), moving_var.reshape(shape)  # (C*), (C*)
    if conventions.eps_at == "inside_sqrt":
        x_hat = (x - mean) / jnp.sqrt(var + eps)  # x's shape
    else:
        x_hat = (x - mean) / (jnp.sqrt(var) + eps)  # x's shape
    y = gamma.reshape(shape) * x_hat + beta.reshape(shape)  # x's shape
    if training:
        n = x.size // len(gamma)  # values per channel
        averaged = var * n / (n - 1) if conventions.moving_var == "unbiased" else var  # (C*)
        keep = momentum if conventions.momentum == "keep" else 1 - momentum  # the weight of the old value
        moving_mean = keep * moving_mean + (1 - keep) * mean.reshape(-1)  # (C,)
        moving_var = keep * moving_var + (1 - keep) * averaged.reshape(-1)  # (C,)
    return y, moving_mean, moving_var


def batch_norm(
    x, gamma, beta, moving_mean, moving_var, eps, momentum, *, training, conventions=D2L, kernels: Kernels = False
):
    """(y, moving_mean, moving_var) by the fast form. A pure function: it can be jitted, vmapped and differentiated.

    x: a float array of rank 2 to 5, channels at `conventions.channel_axis`. gamma, beta, moving_mean, moving_var:
    (C,). y has the shape and dtype of x; inside, x's dtype and gamma's are widened to at least float32.
    Gradients flow from y to x, gamma and beta; not through the new moving statistics, and not to eps.
    An empty batch has no statistics: the moving ones stay as they are.
    kernels: whether it is computed by Pallas kernels, which have no forward mode and have never run on a GPU. None: on
    a GPU, where they prove faster. True: wherever they can, interpreted on a CPU.

    Raises TypeError if x is not floating-point; ValueError for a wrong rank or channel count, and, where the
    conventions say so, for a single value per channel in training; NotImplementedError for debiased averages,
    which take a count of updates (`BatchNorm` has one).
    """
    if conventions.debias:
        raise NotImplementedError("batch_norm has no count of updates to debias by; use the module, BatchNorm")
    x = jnp.asarray(x)
    n = checked_count(x, gamma.shape[0], conventions)
    if training and n == 1 and conventions.single_value == "error":
        raise ValueError(f"batch norm in training needs more than one value per channel, got x of shape {x.shape}")
    by_kernels = (training or kernels is not None) and suits_kernels(x, gamma.dtype, conventions, kernels)
    if by_kernels:
        from impls.jax_flax import pallas_batch_norm  # only where Pallas is
    wide, gamma, beta = widened(x, gamma, beta, conventions)  # x's shape, (C*), (C*)
    eps = jax.lax.stop_gradient(jnp.asarray(eps, wide.dtype))
    if not training or n == 0:
        mean, var = (m.astype(wide.dtype).reshape(gamma.shape) for m in (moving_mean, moving_var))  # (C*), (C*)
        form = pallas_batch_norm.normalize if by_kernels else normalize
        return form(wide, gamma, beta, mean, var, eps, conventions).astype(x.dtype), moving_mean, moving_var
    if by_kernels:
        chip = kernels if isinstance(kernels, Chip) else Chip()
        y, mean, var = pallas_batch_norm.normalize_by_batch(x, gamma, beta, eps, conventions, chip)
    else:
        sums = sums_over(x, conventions)
        y, mean, var = normalize_by_batch(sums.join(wide), gamma, beta, eps, sums, conventions)  # joined, (C*), (C*)
    if conventions.moving_var == "unbiased":
        var = var * (n / (n - 1)) if n > 1 else jnp.full_like(var, jnp.nan)  # (C*)
    moving_mean = moved(moving_mean, mean.reshape(-1), momentum, conventions)  # (C,)
    moving_var = moved(moving_var, var.reshape(-1), momentum, conventions)  # (C,)
    return y.reshape(x.shape).astype(x.dtype), moving_mean, moving_var


compiled: Any = jax.jit(batch_norm, static_argnames=("training", "conventions", "kernels"))
"""`batch_norm` under jit: the target `jax`."""
compiled.conventions = D2L
compiled.dtypes = ("float64", "float32", "bfloat16", "float16")
compiled.ranks = RANKS


class BatchNorm(nnx.Module):
    """`batch_norm` with its parameters and moving statistics, for x with `num_features` channels.

    Parameters (nnx.Param): gamma, beta. Statistics (nnx.BatchStat): moving_mean, moving_var, and `updates`, how
    often they were moved. All but `updates` have shape (num_features,) and `dtype`, which is at least float32.
    `train()` and `eval()` set the mode, as for flax's own layers, by way of `use_running_average`.

    With debiasing, moving_mean and moving_var hold the raw averages; `moving_statistics()` gives what is used.
    """

    conventions: Conventions = D2L
    """Those of a layer that is not given others."""
    dtypes = ("float64", "float32", "bfloat16", "float16")
    """Those of x that it takes."""
    ranks = RANKS
    kernels: Kernels = False
    """Whether to compute by Pallas kernels, as `batch_norm` says."""

    def __init__(
        self,
        num_features: int,
        eps: float | None = None,
        momentum: float | None = None,
        conventions: Conventions = D2L,
        dtype: jax.typing.DTypeLike = jnp.float32,
        *,
        use_running_average: bool = False,
    ) -> None:
        if num_features < 1:
            raise ValueError(f"num_features must be at least 1, got {num_features}")
        if not jnp.issubdtype(dtype, jnp.floating):
            raise TypeError(f"dtype must be a floating-point type, got {jnp.dtype(dtype)}")
        dtype = jnp.promote_types(dtype, jnp.float32)
        self.num_features = num_features
        self.eps = conventions.default_eps if eps is None else eps
        self.momentum = conventions.default_momentum if momentum is None else momentum
        self.conventions = conventions
        self.use_running_average = use_running_average
        self.gamma = nnx.Param(filled(num_features, 1, dtype))  # (C,)
        self.beta = nnx.Param(filled(num_features, 0, dtype))  # (C,)
        self.moving_mean = nnx.BatchStat(filled(num_features, 0, dtype))  # (C,)
        self.moving_var = nnx.BatchStat(filled(num_features, 1, dtype))  # (C,)
        self.updates = nnx.BatchStat(jnp.zeros((), jnp.int32))

    def __call__(self, x):
        """x -> y. In training mode, unless x is empty, this also moves the moving statistics."""
        training = not self.use_running_average
        mean, var = (self.moving_mean[...], self.moving_var[...]) if training else self.moving_statistics()
        gamma, beta = self.gamma[...], self.beta[...]  # (C,), (C,)
        plain = replace(self.conventions, debias=False)
        numbers = (mean, var, self.eps, self.momentum)
        y, mean, var = batch_norm(x, gamma, beta, *numbers, training=training, conventions=plain, kernels=self.kernels)
        if training and y.size > 0:
            self.moving_mean[...] = mean
            self.moving_var[...] = var
            self.updates[...] += 1
        return y

    def moving_statistics(self):
        """(mean, var) as prediction uses them. Debiased: Kingma and Ba 2015, section 3, divide by 1 - keep^t."""
        mean, var = self.moving_mean[...], self.moving_var[...]  # (C,), (C,)
        if not self.conventions.debias:
            return mean, var
        keep, _ = weights(self.momentum, mean.dtype, self.conventions)
        divisor = jnp.where(self.updates[...] > 0, 1 - keep ** self.updates[...], 1)  # before any update: as it is
        return mean / divisor, var / divisor

    def set_view(self, use_running_average: bool | None = None) -> None:
        """What `nnx.view(model, use_running_average=...)` calls on each module."""
        if use_running_average is not None:
            self.use_running_average = use_running_average


def filled(size, value, dtype):
    """(size,). `jnp.full` would compile a program for every size."""
    return jax.device_put(np.full(size, value, dtype))


# --- moving statistics ---


def moved(moving, batch, momentum, conventions):
    """keep * moving + new * batch, the weights from the very number given, in the statistics' dtype."""
    keep, new = weights(momentum, moving.dtype, conventions)
    return jax.lax.stop_gradient(keep * moving + new * batch).astype(moving.dtype)  # (C,)


def weights(momentum, dtype, conventions):
    """(weight of the old value, weight of the new one)."""
    momentum = jnp.asarray(momentum, dtype)
    return (momentum, 1 - momentum) if conventions.momentum == "keep" else (1 - momentum, momentum)
