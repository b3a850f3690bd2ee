"""The fast form of batch normalization in JAX: a custom derivative in closed form, which JAX transposes to backward.

The formulas are those of Ioffe and Szegedy 2015, section 3.

What belongs to a channel has the rank of x and size 1 on every other axis, written (C*) in the shape comments, so that
one formula serves every rank and channel axis by broadcasting.

Each reading and writing of an array of x's size counts, and XLA on a CPU writes down what it sums unless that is an
array or a product of two. So there is one such array, x - mean: the variance, y, dgamma and dx are all made of it.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp

# --- forward ---


def normalize(x, gamma, beta, mean, var, eps, conventions):
    """y by given statistics. These are constants, so JAX's own derivative is dx = gamma * scale * dy."""
    x_hat = (x - mean) * inverse_std(var, eps, conventions)  # x's shape
    return gamma * x_hat + beta  # x's shape


def inverse_std(var, eps, conventions):
    if conventions.eps_at == "inside_sqrt":
        # XLA would turn 1/sqrt(v) into its rsqrt, which errs by up to 2.6 units of roundoff; this, by 1.5.
        return jnp.sqrt(1 / (var + eps))  # (C*)
    return 1 / (standard_deviation(var) + eps)  # (C*)


def standard_deviation(var):
    """The root of the variance, whose derivative is taken for 0 where that is 0: the root of 0 has none."""
    varies = var > 0  # (C*)
    return jnp.where(varies, jnp.sqrt(jnp.where(varies, var, 1)), 0)  # (C*)


@partial(jax.custom_jvp, nondiff_argnums=(4, 5))
def normalize_by_batch(x, gamma, beta, eps, sums, conventions):
    """y by x's own statistics, and these: (y, mean, var). Only y has a derivative, and not by eps.

    x as `sums`, a `Sums`, joins it.
    """
    centered, mean, var = batch_statistics(x, sums)  # x's shape, (C*), (C*)
    gain = gamma * inverse_std(var, eps, conventions)  # (C*)
    return centered * sums.spread(gain) + sums.spread(beta), mean, var


def batch_statistics(x, sums):
    """Two passes: the mean, then the average squared deviation from it (biased). (x - mean, mean, var)"""
    mean = sums.mean(x)  # (C*)
    centered = x - sums.spread(mean)  # x's shape
    return centered, mean, sums.mean(jnp.square(centered))


# --- derivatives ---


@normalize_by_batch.defjvp
def normalize_by_batch_jvp(sums, conventions, primals, tangents):
    """How y changes with x, gamma and beta, mean and var being functions of x (the paper's section 3).

    It is linear in the tangents, and its transpose is backward: dgamma = sum(dy * x_hat) and dbeta = sum(dy), and dx of
    both. What is left of x is x - mean alone. These are plain operations, so that second derivatives see through mean
    and var, whether JAX goes forward over reverse or reverse over forward.
    """
    x, gamma, beta, eps = primals
    tx, tgamma, tbeta, _ = tangents
    centered, mean, var = batch_statistics(x, sums)  # x's shape, (C*), (C*)
    scale = inverse_std(var, eps, conventions)  # (C*)
    gain = gamma * scale  # (C*)
    y = centered * sums.spread(gain) + sums.spread(beta)  # x's shape
    slope = variance_slope(var, scale, conventions)  # (C*) or 1
    # In this order no product of two constants is kept for backward.
    of_x_hat = tgamma - gain * (slope * (scale * sums.mean(tx * centered)))  # (C*)
    of_one = tbeta - gain * sums.mean(tx)  # (C*)
    ty = sums.spread(gain) * tx + centered * sums.spread(scale * of_x_hat) + sums.spread(of_one)  # x's shape
    return (y, mean, var), (ty, jnp.zeros_like(mean), jnp.zeros_like(var))


def variance_slope(var, scale, conventions):
    """How the scale depends on var, relative to the -scale^3/2 that the closed form assumes.

    With eps outside the root, d scale/d var = -scale^2/(2 sqrt(var)): a factor 1/(scale sqrt(var)).
    A constant channel (var = 0) has x_hat = 0 and takes no slope; the inner `where` keeps 1/0 from being formed.
    """
    if conventions.eps_at == "inside_sqrt":
        return 1
    varies = var > 0  # (C*)
    std = jnp.where(varies, standard_deviation(var), 1)  # (C*)
    return jnp.where(varies, 1 / (scale * std), 0)  # (C*)
