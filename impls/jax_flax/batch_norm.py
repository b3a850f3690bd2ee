"""Batch normalization in JAX: a pure function with a closed-form gradient, and a flax.nnx module around it.

The formulas are those of Ioffe and Szegedy 2015. In training, mean and variance are functions of x, and JAX's
own derivative would keep and revisit the result of every small operation between them; the closed form in
`normalize_by_batch` keeps x and two numbers per channel.

Inside, what belongs to a channel has the rank of x and size 1 on every other axis, written (C*,) below, so that
one formula serves every rank and channel axis by broadcasting.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx

from reference.conventions import D2L, Conventions

RANKS = (2, 3, 4, 5)


def batch_norm(x, gamma, beta, moving_mean, moving_var, eps, momentum, *, training, conventions=D2L):
    """One batch norm as a pure function: (y, moving_mean, moving_var). It can be jitted, vmapped, differentiated.

    x: a float array of rank 2 to 5, channels at `conventions.channel_axis`. gamma, beta, moving_mean, moving_var:
    (C,). y has the shape and dtype of x; inside, x's dtype and gamma's are widened to at least float32.
    Gradients flow from y to x, gamma and beta; not through the new moving statistics, and not to eps.
    An empty batch has no statistics: the moving ones stay as they are.

    Raises TypeError if x is not floating-point; ValueError for a wrong rank or channel count, and, where the
    conventions say so, for a single value per channel in training; NotImplementedError for debiased averages,
    which take a count of updates (`BatchNorm` has one).
    """
    if conventions.debias:
        raise NotImplementedError("batch_norm has no count of updates to debias by; use the module, BatchNorm")
    x = jnp.asarray(x)
    n = checked_count(x, gamma.shape[0], conventions)
    axes, wide, gamma, beta = widened(x, gamma, beta, conventions)  # x's shape, (C*,), (C*,)
    eps = jax.lax.stop_gradient(jnp.asarray(eps, wide.dtype))
    if not training or n == 0:
        mean, var = (m.astype(wide.dtype).reshape(gamma.shape) for m in (moving_mean, moving_var))  # (C*,), (C*,)
        y = normalize(wide, gamma, beta, mean, var, eps, conventions)  # x's shape
        return y.astype(x.dtype), moving_mean, moving_var
    if n == 1 and conventions.single_value == "error":
        raise ValueError(f"batch norm in training needs more than one value per channel, got x of shape {x.shape}")
    y, mean, var = normalize_by_batch(wide, gamma, beta, eps, axes, conventions)
    if conventions.moving_var == "unbiased":
        var = var * (n / (n - 1)) if n > 1 else jnp.full_like(var, jnp.nan)  # (C*,)
    moving_mean = moved(moving_mean, mean.reshape(-1), momentum, conventions)  # (C,)
    moving_var = moved(moving_var, var.reshape(-1), momentum, conventions)  # (C,)
    return y.astype(x.dtype), moving_mean, moving_var


# --- forward ---


def batch_statistics(x, axes):
    """Two passes: the mean, then the average squared deviation from it (biased)."""
    mean = x.mean(axes, keepdims=True)  # (C*,)
    var = jnp.square(x - mean).mean(axes, keepdims=True)  # (C*,)
    return mean, var


def normalize(x, gamma, beta, mean, var, eps, conventions):
    """y by given statistics. These are constants, so JAX's own derivative is dx = gamma * scale * dy."""
    x_hat = (x - mean) * inverse_std(var, eps, conventions)  # x's shape
    return gamma * x_hat + beta  # x's shape


def inverse_std(var, eps, conventions):
    if conventions.eps_at == "inside_sqrt":
        # XLA would turn 1/sqrt(v) into its rsqrt, which errs by up to 2.6 units of roundoff; this, by 1.5.
        return jnp.sqrt(1 / (var + eps))  # (C*,)
    return 1 / (jnp.sqrt(var) + eps)  # (C*,)


@partial(jax.custom_vjp, nondiff_argnums=(4, 5))
def normalize_by_batch(x, gamma, beta, eps, axes, conventions):
    """y by x's own statistics, and these: (y, mean, var). Only y has a gradient."""
    return normalize_by_batch_forward(x, gamma, beta, eps, axes, conventions)[0]


def normalize_by_batch_forward(x, gamma, beta, eps, axes, conventions):
    """The same, and what backward needs. Plain operations, so that second derivatives see through mean and var."""
    mean, var = batch_statistics(x, axes)  # (C*,), (C*,)
    y = normalize(x, gamma, beta, mean, var, eps, conventions)  # x's shape
    return (y, mean, var), (x, gamma, mean, var, eps)


# --- backward ---


def normalize_by_batch_backward(axes, conventions, kept, cotangents):
    """The gradients of sum(y * dy) with mean and var as functions of x (the paper's section 3)."""
    x, gamma, mean, var, eps = kept
    dy, _, _ = cotangents  # x's shape
    n = x.size // mean.size
    scale = inverse_std(var, eps, conventions)  # (C*,)
    x_hat = (x - mean) * scale  # x's shape
    dgamma = (dy * x_hat).sum(axes, keepdims=True)  # (C*,)
    dbeta = dy.sum(axes, keepdims=True)  # (C*,)
    slope = variance_slope(var, scale, conventions)  # (C*,) or 1
    dx = gamma * scale * (dy - dbeta / n - x_hat * (slope * dgamma / n))  # x's shape
    return dx, dgamma, dbeta, jnp.zeros_like(eps)


normalize_by_batch.defvjp(normalize_by_batch_forward, normalize_by_batch_backward)


def variance_slope(var, scale, conventions):
    """How the scale depends on var, relative to the -scale^3/2 that the closed form assumes.

    With eps outside the root, d scale/d var = -scale^2/(2 sqrt(var)): a factor 1/(scale sqrt(var)).
    A constant channel (var = 0) has x_hat = 0 and takes no slope; the inner `where` keeps 1/0 from being formed.
    """
    if conventions.eps_at == "inside_sqrt":
        return 1
    varies = var > 0  # (C*,)
    std = jnp.sqrt(jnp.where(varies, var, 1))  # (C*,)
    return jnp.where(varies, 1 / (scale * std), 0)  # (C*,)


# --- moving statistics ---


def moved(moving, batch, momentum, conventions):
    """keep * moving + new * batch, the weights from the very number given, in the statistics' dtype."""
    keep, new = weights(momentum, moving.dtype, conventions)
    return jax.lax.stop_gradient(keep * moving + new * batch).astype(moving.dtype)  # (C,)


def weights(momentum, dtype, conventions):
    """(weight of the old value, weight of the new one)."""
    momentum = jnp.asarray(momentum, dtype)
    return (momentum, 1 - momentum) if conventions.momentum == "keep" else (1 - momentum, momentum)


# --- what is accepted ---


def checked_count(x, num_features, conventions) -> int:
    """The number of values per channel. Raises TypeError for a non-float x, ValueError for a wrong shape."""
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(f"batch norm takes floating-point input, got {x.dtype}; convert x first")
    if x.ndim not in RANKS:
        raise ValueError(f"batch norm takes inputs of rank 2 to 5, got rank {x.ndim} (shape {x.shape})")
    axis = conventions.channel_axis
    if x.shape[axis] != num_features:
        raise ValueError(
            f"batch norm for {num_features} channels got {x.shape[axis]} on axis {axis} "
            f"(shape {x.shape}); is the channel axis where you think it is?"
        )
    return x.size // num_features


def widened(x, gamma, beta, conventions):
    """(the axes to reduce, x, gamma, beta), in one dtype of at least 32 bits, gamma and beta (C,) -> (C*,)."""
    channel = conventions.channel_axis % x.ndim
    axes = tuple(axis for axis in range(x.ndim) if axis != channel)
    dtype = jnp.promote_types(jnp.promote_types(x.dtype, gamma.dtype), jnp.float32)
    per_channel = [x.shape[axis] if axis == channel else 1 for axis in range(x.ndim)]
    gamma, beta = (p.astype(dtype).reshape(per_channel) for p in (gamma, beta))  # (C*,), (C*,)
    return axes, x.astype(dtype), gamma, beta


# --- the module ---


class BatchNorm(nnx.Module):
    """`batch_norm` with its parameters and moving statistics, for x with `num_features` channels.

    Parameters (nnx.Param): gamma, beta. Statistics (nnx.BatchStat): moving_mean, moving_var, and `updates`, how
    often they were moved. All but `updates` have shape (num_features,) and `dtype`, which is at least float32.
    `train()` and `eval()` set the mode, as for flax's own layers, by way of `use_running_average`.

    With debiasing, moving_mean and moving_var hold the raw averages; `moving_statistics()` gives what is used.
    """

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
        self.gamma = nnx.Param(jnp.ones(num_features, dtype))  # (C,)
        self.beta = nnx.Param(jnp.zeros(num_features, dtype))  # (C,)
        self.moving_mean = nnx.BatchStat(jnp.zeros(num_features, dtype))  # (C,)
        self.moving_var = nnx.BatchStat(jnp.ones(num_features, dtype))  # (C,)
        self.updates = nnx.BatchStat(jnp.zeros((), jnp.int32))

    def __call__(self, x):
        """x -> y. In training mode, unless x is empty, this also moves the moving statistics."""
        training = not self.use_running_average
        mean, var = (self.moving_mean[...], self.moving_var[...]) if training else self.moving_statistics()
        gamma, beta = self.gamma[...], self.beta[...]  # (C,), (C,)
        plain = replace(self.conventions, debias=False)
        y, mean, var = batch_norm(
            x, gamma, beta, mean, var, self.eps, self.momentum, training=training, conventions=plain
        )
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
