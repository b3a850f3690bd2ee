"""JAX batch norms that are right as they are called and wrong through one transformation, and a right one."""

import contextlib

import jax
import jax.numpy as jnp

AXES = (0, 2, 3)


def right(x, gamma, beta, moving_mean, moving_var, eps, momentum, training, *, axes=AXES, scale=1.0, weight=None):
    """(y, moving_mean, moving_var), as torch has it but for the biased moving variance."""
    weight = momentum if weight is None else weight
    mean, var = moving_mean, moving_var
    if training:
        mean, var = x.mean(axes), x.var(axes)
        moving_mean = (1 - weight) * moving_mean + weight * mean
        moving_var = (1 - weight) * moving_var + weight * var
    wide = (slice(None), None, None)
    y = (x - mean[wide]) / jnp.sqrt(var[wide] + eps) * gamma[wide] + beta[wide]
    return y * scale, moving_mean, moving_var


def batch_norm(x, gamma, beta, moving_mean, moving_var, eps, momentum, training):
    return right(x, gamma, beta, moving_mean, moving_var, eps, momentum, training)


def swaps_when_traced(x, gamma, beta, moving_mean, moving_var, eps, momentum, training):
    """Swaps the weights of old and new statistics where they are traced."""
    weight = 1 - momentum if isinstance(moving_mean, jax.core.Tracer) else momentum
    return right(x, gamma, beta, moving_mean, moving_var, eps, momentum, training, weight=weight)


def syncs_unasked(x, gamma, beta, moving_mean, moving_var, eps, momentum, training):
    """Takes its mean over a mapped axis wherever there is one called "batch"."""
    with contextlib.suppress(NameError):
        x = x - 0.5 * (x - jax.lax.pmean(x, "batch"))
    return right(x, gamma, beta, moving_mean, moving_var, eps, momentum, training)


def needs_float64(x, gamma, beta, moving_mean, moving_var, eps, momentum, training):
    """Is right only where JAX has 64 bits."""
    scale = 1.0 if jax.config.jax_enable_x64 else 1.25
    return right(x, gamma, beta, moving_mean, moving_var, eps, momentum, training, scale=scale)


def flattens(x, gamma, beta, moving_mean, moving_var, eps, momentum, training):
    """Under vmap, the statistics of all copies together: its own rule for batching flattens them."""
    mean, var = moving_mean, moving_var
    if training:
        mean, var = statistics(x)
        moving_mean = (1 - momentum) * moving_mean + momentum * mean
        moving_var = (1 - momentum) * moving_var + momentum * var
    wide = (slice(None), None, None)
    return (x - mean[wide]) / jnp.sqrt(var[wide] + eps) * gamma[wide] + beta[wide], moving_mean, moving_var


@jax.custom_batching.custom_vmap
def forward(x):
    return x.mean(AXES), x.var(AXES)


@forward.def_vmap
def forward_of_all(size, is_mapped, x):  # noqa: ARG001
    flat = x.reshape(-1, *x.shape[2:])
    mean, var = flat.mean(AXES), flat.var(AXES)
    return (jnp.stack([mean] * size), jnp.stack([var] * size)), (True, True)


@jax.custom_vjp
def statistics(x):
    return forward(x)


def backward(x, gradients):
    dmean, dvar = (gradient[:, None, None] for gradient in gradients)
    n = x.size / x.shape[1]
    return ((dmean + 2 * (x - x.mean(AXES, keepdims=True)) * dvar) / n,)


statistics.defvjp(lambda x: (forward(x), x), backward)


def stops_in_its_rule(x, gamma, beta, moving_mean, moving_var, eps, momentum, training):
    """Right once; differentiated again, the scale is a constant in its own rule for forward mode."""
    _, moving_mean, moving_var = right(x, gamma, beta, moving_mean, moving_var, eps, momentum, training)
    if not training:
        return right(x, gamma, beta, moving_mean, moving_var, eps, momentum, training)
    wide = (slice(None), None, None)
    return standardized(x, eps) * gamma[wide] + beta[wide], moving_mean, moving_var


@jax.custom_jvp
def standardized(x, eps):
    return (x - x.mean(AXES, keepdims=True)) / jnp.sqrt(x.var(AXES, keepdims=True) + eps)


@standardized.defjvp
def tangent_of_standardized(point, tangents):
    (x, eps), (tx, _) = point, tangents
    x_hat = standardized(x, eps)
    scale = jax.lax.stop_gradient(1 / jnp.sqrt(x.var(AXES, keepdims=True) + eps))
    tx = tx - tx.mean(AXES, keepdims=True)
    return x_hat, scale * (tx - x_hat * (tx * x_hat).mean(AXES, keepdims=True))


for function in (batch_norm, swaps_when_traced, syncs_unasked, needs_float64, flattens, stops_in_its_rule):
    function.conventions = {"preset": "torch", "moving_var": "biased"}
    function.dtypes, function.ranks = ("float32",), (4,)
