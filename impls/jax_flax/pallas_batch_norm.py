"""Batch normalization by the Pallas kernels: functions with a derivative by hand, over `pallas_kernels.py`.

Where a block of channels fits into a program's registers, x is read once forward, and x and dy once backward. Elsewhere
programs share the sums (x is read three times forward, as by XLA's own), and what is left for each element goes to
XLA, which fuses it with its neighbours. For backward a call keeps x, in its own dtype, and two numbers per channel.

Every sum is made in pairs, in second derivatives and prediction too, which are plain operations over `paired_sums.py`.
Forward mode there is none: JAX knows no kernel that is one function forward and another when transposed.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp

from impls.jax_flax import pallas_kernels as kernels
from impls.jax_flax.paired_sums import spread, total
from impls.jax_flax.pallas_plan import Chip, Layout, in_parts, layout_of, on_chip


def normalize_by_batch(x, gamma, beta, eps, conventions, chip: Chip):
    """(y, mean, var) in training: x's shape and dtype, (C,), (C,). Only y has a derivative, and not by eps.

    x for which `pallas_choice.suits_kernels`, in its own dtype; gamma, beta (C*), eps () in that of the arithmetic.
    """
    layout = layout_of(x.shape, conventions.channel_axis)
    rows, gamma, beta = x.reshape(layout.shape), gamma.reshape(-1), beta.reshape(-1)
    y, mean, var = by_batch(rows, gamma, beta, eps.reshape(1), layout, chip)
    return y.reshape(x.shape), mean, var


def normalize(x, gamma, beta, mean, var, eps, conventions):
    """y in prediction, by plain operations. x and y: in the dtype of the arithmetic; eps: (); the rest: (C*)."""
    layout = layout_of(x.shape, conventions.channel_axis)
    scale = jnp.sqrt(1 / (var + eps))  # (C*)
    over = partial(spread, shape=layout.shape)
    shift, gain, beta = (over(numbers.reshape(-1)) for numbers in (mean, gamma * scale, beta))
    return ((x.reshape(layout.shape) - shift) * gain + beta).reshape(x.shape)


@partial(jax.custom_vjp, nondiff_argnums=(4, 5))
def by_batch(x, gamma, beta, eps, layout: Layout, chip: Chip):
    """(y, mean, var): x's shape and dtype, which is as `layout` says, (C,), (C,). gamma, beta (C,), eps (1,)."""
    wide, per_channel = gamma.dtype, jax.ShapeDtypeStruct(gamma.shape, gamma.dtype)
    tiling = on_chip(layout, chip, wide.itemsize, arrays=1)
    if tiling:
        results = (jax.ShapeDtypeStruct(x.shape, x.dtype), per_channel, per_channel)
        given = (x, gamma, beta, eps)
        return tuple(kernels.run_on_chip(kernels.normalize_on_chip, given, results, layout, tiling, is_interpreted()))
    share = kernels.number(1 / layout.values, gamma)
    shared = wide, layout, in_parts(layout, chip), is_interpreted()
    (sum_,) = kernels.sums_of(kernels.values, [x], [], 1, *shared)
    mean = sum_ * share  # (C,)
    (sum_,) = kernels.sums_of(kernels.squared_deviations, [x], [mean], 1, *shared)
    var = sum_ * share  # (C,)
    gain = gamma * jax.lax.rsqrt(var + eps)  # (C,)
    y = (x.astype(wide) - along(mean, layout)) * along(gain, layout) + along(beta, layout)
    return y.astype(x.dtype), mean, var


def by_batch_forward(x, gamma, beta, eps, layout, chip):
    y, mean, var = by_batch(x, gamma, beta, eps, layout, chip)
    return (y, mean, var), (x, gamma, eps, mean, var)


def by_batch_backward(layout, chip, kept, of_results):
    x, gamma, eps, mean, var = kept
    dx, dgamma, dbeta = gradients(x, of_results[0], gamma, eps, mean, var, layout, chip)
    return dx, dgamma, dbeta, jnp.zeros_like(eps)


by_batch.defvjp(by_batch_forward, by_batch_backward)


@partial(jax.custom_vjp, nondiff_argnums=(6, 7))
def gradients(x, dy, gamma, eps, mean, var, layout: Layout, chip: Chip):
    """(dx, dgamma, dbeta) in training. mean, var: those of x, as which they are differentiated."""
    wide, per_channel = gamma.dtype, jax.ShapeDtypeStruct(gamma.shape, gamma.dtype)
    tiling = on_chip(layout, chip, wide.itemsize, arrays=2)
    if tiling:
        results = (jax.ShapeDtypeStruct(x.shape, x.dtype), per_channel, per_channel)
        given = (x, dy, gamma, mean, var, eps)
        return tuple(kernels.run_on_chip(kernels.gradients_on_chip, given, results, layout, tiling, is_interpreted()))
    shared = wide, layout, in_parts(layout, chip), is_interpreted()
    sum_, dbeta = kernels.sums_of(kernels.gradient_terms, [x, dy], [mean], 2, *shared)
    scale = jax.lax.rsqrt(var + eps)  # (C,)
    dgamma = scale * sum_  # (C,)
    centered = x.astype(wide) - along(mean, layout)
    ours = along(gamma, layout), along(scale, layout), along(dgamma, layout), along(dbeta, layout)
    dx = kernels.input_gradient(dy.astype(wide), centered, *ours, layout)
    return dx.astype(x.dtype), dgamma, dbeta


def gradients_forward(x, dy, gamma, eps, mean, var, layout, chip):
    return gradients(x, dy, gamma, eps, mean, var, layout, chip), (x, dy, gamma, eps, mean, var)


def gradients_backward(layout, _chip, kept, of_results):
    """Second derivatives: of the closed form in plain operations, where mean and var are functions of x."""
    x, dy, gamma, eps, mean, var = kept
    _, backward = jax.vjp(partial(plain_gradients, eps=eps, layout=layout), x, dy, gamma)
    return *backward(of_results), jnp.zeros_like(eps), jnp.zeros_like(mean), jnp.zeros_like(var)


gradients.defvjp(gradients_forward, gradients_backward)


def plain_gradients(x, dy, gamma, *, eps, layout: Layout):
    """`gradients`, such that JAX sees through them; sums and what it transposes to sums are in pairs."""
    share = kernels.number(1 / layout.values, gamma)
    wide_dy = dy.astype(gamma.dtype)
    over = partial(spread, shape=layout.shape)
    wide = x.astype(gamma.dtype)
    centered = wide - over(total(wide) * share)
    scale = jnp.sqrt(1 / (total(centered * centered) * share + eps))  # (C,)
    dbeta = total(wide_dy)  # (C,)
    dgamma = scale * total(wide_dy * centered)  # (C,)
    dx = over(gamma * scale) * (wide_dy - over(dbeta * share) - centered * over(scale * (dgamma * share)))
    return dx.astype(x.dtype), dgamma, dbeta


def along(per_channel, layout: Layout):
    """(C,) in a shape that broadcasts against x."""
    return per_channel if layout.last else per_channel[:, None]


def is_interpreted() -> bool:
    """On a CPU the kernels are."""
    return jax.default_backend() == "cpu"
