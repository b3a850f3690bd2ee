"""A step of SGD in JAX, and many of them as one call: a loop that stays on the device."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.flatten_util import ravel_pytree

from impls.jax_flax.lenet import cross_entropy


@partial(jax.jit, static_argnums=0, static_argnames="batch_size")
def run_steps(graph, params, stats, train_set, order, first, last, learning_rate, *, batch_size):
    """Steps `first` to `last` (not included) of the epoch in this order: (params, stats, loss sum, correct).

    The number of steps is not static, so that one compilation serves every piece of the epoch.
    """
    images, labels = train_set  # (n, 28, 28) uint8, (n,) uint8
    dtype = learning_rate.dtype

    def step(i, state):
        params, stats, loss_sum, correct = state
        batch = jax.lax.dynamic_slice(order, (i * batch_size,), (batch_size,))  # (batch_size,)
        x, y = scaled(images[batch], dtype), labels[batch]  # (batch_size, 28, 28), (batch_size,)
        params, stats, loss, logits = sgd_step(graph, params, stats, x, y, learning_rate)
        return params, stats, loss_sum + loss * batch_size, correct + count_correct(logits, y)

    return jax.lax.fori_loop(first, last, step, (params, stats, jnp.zeros((), dtype), jnp.zeros((), jnp.int32)))


def sgd_step(graph, params, stats, images, labels, learning_rate, axis=None):
    """One step of SGD. Returns (params, stats, loss, logits), the last two from before the update.

    axis: where this is done by several devices, the mapped axis over which they share out the batch evenly. The loss
    and the logits are of this device's examples.
    """
    loss, activations, stats, grads = loss_and_grads(graph, params, stats, images, labels, axis)
    if axis:
        flat, unflatten = ravel_pytree(grads)
        grads = unflatten(jax.lax.pmean(flat, axis))  # one message
    sgd = optax.sgd(learning_rate)  # without momentum it has no state to carry
    updates, _ = sgd.update(grads, sgd.init(params), params)
    return optax.apply_updates(params, updates), stats, loss, activations["dense3"]


def loss_and_grads(graph, params, stats, images, labels, axis=None):
    """(loss, activations, the statistics moved, the gradient of every parameter) of a batch; axis: as in `sgd_step`."""

    def loss_of(params):
        net = nnx.merge(graph, params, stats, copy=True)  # a copy, whose statistics this trace may move
        if axis:
            net.axis = axis
        activations = net.activations(images)
        return cross_entropy(activations["dense3"], labels), (activations, nnx.state(net, nnx.BatchStat))

    (loss, (activations, moved)), grads = jax.value_and_grad(loss_of, has_aux=True)(params)
    return loss, activations, moved, grads


def scaled(images, dtype):
    """Bytes (n, 28, 28) -> pixels in [0, 1]."""
    return images.astype(dtype) / 255


def count_correct(logits, labels):
    return (logits.argmax(axis=1) == labels).sum(dtype=jnp.int32)
