"""The fast form of batch normalization in JAX: a custom derivative with the closed-form backward.

The formulas are those of Ioffe and Szegedy 2015, section 3.

What belongs to a channel has the rank of x and size 1 on every other axis, written (C*) in the shape comments, so that
one formula serves every rank and channel axis by broadcasting.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp

# --- forward ---


def batch_statistics(x, axes):
    """Two passes: the mean, then the average squared deviation from it (biased)."""
    mean = x.mean(axes, keepdims=True)  # (C*)
    var = jnp.square(x - mean).mean(axes, keepdims=True)  # (C*)
    return mean, var


def normalize(x, gamma, beta, mean, var, eps, conventions):
    """y by given statistics. These are constants, so JAX's own derivative is dx = gamma * scale * dy."""
    x_hat = (x - mean) * inverse_std(var, eps, conventions)  # x's shape
    return gamma * x_hat + beta  # x's shape


def inverse_std(var, eps, conventions):
    if conventions.eps_at == "inside_sqrt":
        # XLA would turn 1/sqrt(v) into its rsqrt, which errs by up to 2.6 units of roundoff; this, by 1.5.
        return jnp.sqrt(1 / (var + eps))  # (C*)
    return 1 / (jnp.sqrt(var) + eps)  # (C*)


@partial(jax.custom_vjp, nondiff_argnums=(4, 5))
def normalize_by_batch(x, gamma, beta, eps, axes, conventions):
    """y by x's own statistics, and these: (y, mean, var). Only y has a gradient."""
    return normalize_by_batch_forward(x, gamma, beta, eps, axes, conventions)[0]


def normalize_by_batch_forward(x, gamma, beta, eps, axes, conventions):
    """The same, and what backward needs. Plain operations, so that second derivatives see through mean and var."""
    mean, var = batch_statistics(x, axes)  # (C*), (C*)
    y = normalize(x, gamma, beta, mean, var, eps, conventions)  # x's shape
    return (y, mean, var), (x, gamma, mean, var, eps)


# --- backward ---


def normalize_by_batch_backward(axes, conventions, kept, cotangents):
    """The gradients of sum(y * dy) with mean and var as functions of x (the paper's section 3)."""
    x, gamma, mean, var, eps = kept
    dy, _, _ = cotangents  # x's shape
    n = x.size // mean.size
    scale = inverse_std(var, eps, conventions)  # (C*)
    x_hat = (x - mean) * scale  # x's shape
    dgamma = (dy * x_hat).sum(axes, keepdims=True)  # (C*)
    dbeta = dy.sum(axes, keepdims=True)  # (C*)
    slope = variance_slope(var, scale, conventions)  # (C*) or 1
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
    varies = var > 0  # (C*)
    std = jnp.sqrt(jnp.where(varies, var, 1))  # (C*)
    return jnp.where(varies, 1 / (scale * std), 0)  # (C*)
