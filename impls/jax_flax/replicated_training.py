"""Data-parallel training in JAX: the steps of training.py, each by all devices of a mesh together, in one process.

Every device takes an equal shard of each batch. Batch norm is synchronized, and the gradients of the shards' losses are
averaged over the devices: the same step as on one device but for rounding. All devices hold the same weights.
"""

from __future__ import annotations

import contextlib
from functools import partial
from time import perf_counter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.flatten_util import ravel_pytree
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from impls.jax_flax.lenet import LeNet, Weights
from impls.jax_flax.sync_batch_norm import SyncBatchNorm
from impls.jax_flax.training import (
    EVALUATION_BATCH,
    STEPS_IN_A_CALL,
    count_correct,
    device_name,
    evaluate,
    full_precision,
    loss_and_grads,
    pieces,
    scaled,
)
from reference.conventions import DEFAULT_SETTINGS, TrainingSettings

AXIS = "data"


def prepare(replicas: int) -> None:
    """Divide the host into as many devices. Of no effect once JAX has looked for devices."""
    with contextlib.suppress(RuntimeError):  # `train` says where there are too few
        jax.config.update("jax_num_cpu_devices", replicas)


def train(
    data: Any,
    weights: Weights,
    orders: np.ndarray,
    settings: TrainingSettings = DEFAULT_SETTINGS,
    *,
    replicas: int,
) -> dict[str, Any]:
    """As `training.train`, which says what the arguments are, by `replicas` devices.

    Raises ValueError where they do not divide a batch, RuntimeError where there are too few of them.
    """
    batch_size, dtype, device = settings.batch_size, settings.dtype, settings.device
    devices = jax.devices(device)
    if len(devices) < replicas:
        raise RuntimeError(f"{replicas} replicas need as many devices; JAX has {len(devices)} of {device}")
    examples = orders.shape[1]
    if batch_size % replicas or examples % batch_size % replicas:
        raise ValueError(f"{replicas} replicas do not divide {examples} examples in batches of {batch_size}")
    mesh = jax.make_mesh((replicas,), (AXIS,), axis_types=(AxisType.Auto,), devices=devices[:replicas])
    with full_precision(dtype), jax.default_device(devices[0]):
        net = LeNet(weights, dtype, SyncBatchNorm)
        everywhere = NamedSharding(mesh, PartitionSpec())
        params, stats = jax.device_put((nnx.state(net, nnx.Param), nnx.state(net, nnx.BatchStat)), everywhere)
        net.eval()
        predicting = nnx.graphdef(net)
        net.train()
        training = nnx.graphdef(net)
        train_set = jax.device_put((np.asarray(data.train_images), np.asarray(data.train_labels)), everywhere)
        test_set = jnp.asarray(data.test_images), jnp.asarray(data.test_labels)
        rate = jnp.asarray(settings.learning_rate, dtype)
        compiling = perf_counter()
        for order, first, _, size in pieces(orders[0], batch_size, STEPS_IN_A_CALL[device]) if len(orders) else []:
            # from `first` to `first`: no step, but compiled
            run_steps(training, params, stats, train_set, order, first, first, rate, batch_size=size, mesh=mesh)
        compile_seconds = perf_counter() - compiling
        history, done = [], (settings.first_epoch - 1) * orders.shape[1]
        for epoch, order_of_epoch in enumerate(orders, start=settings.first_epoch):
            started = perf_counter()
            loss_sum, correct = 0.0, 0
            for order, first, last, size in pieces(order_of_epoch, batch_size, STEPS_IN_A_CALL[device]):
                params, stats, losses, hits = jax.block_until_ready(
                    run_steps(training, params, stats, train_set, order, first, last, rate, batch_size=size, mesh=mesh)
                )
                loss_sum, correct = loss_sum + float(losses), correct + int(hits)
                done += (last - first) * size
                if settings.on_progress:
                    settings.on_progress(done)
            step_seconds = perf_counter() - started
            params_of_one, stats_of_one = jax.device_put((params, stats), devices[0])
            record = {
                "epoch": epoch,
                "loss": loss_sum / len(order_of_epoch),
                "train_accuracy": correct / len(order_of_epoch),
                "test_accuracy": evaluate(predicting, params_of_one, stats_of_one, test_set, EVALUATION_BATCH[device]),
                "step_seconds": step_seconds,
                "seconds": perf_counter() - started,
            }
            history.append(record)
            if settings.on_epoch:
                settings.on_epoch(record, nnx.merge(training, params_of_one, stats_of_one).save_weights())
        return {
            "history": history,
            "weights": nnx.merge(training, *jax.device_put((params, stats), devices[0])).save_weights(),
            "device": device_name(device),
            "dtype": dtype,
            "compile_seconds": compile_seconds,
            "step": f"XLA loop, {replicas} devices",
        }


@partial(jax.jit, static_argnums=0, static_argnames=("batch_size", "mesh"))
def run_steps(graph, params, stats, train_set, order, first, last, learning_rate, *, batch_size, mesh):
    """Steps `first` to `last` (not included) of the epoch in this order: (params, stats, loss sum, correct)."""
    replicas, dtype = mesh.size, learning_rate.dtype
    size = batch_size // replicas  # of a shard

    def of_device(params, stats, train_set, order, first, last):
        images, labels = train_set  # (n, 28, 28) uint8, (n,) uint8

        def step(i, state):
            params, stats, loss_sum, correct = state
            start = i * batch_size + jax.lax.axis_index(AXIS) * size
            shard = jax.lax.dynamic_slice(order, (start,), (size,))  # (size,)
            x, y = scaled(images[shard], dtype), labels[shard]  # (size, 28, 28), (size,)
            loss, activations, stats, grads = loss_and_grads(graph, params, stats, x, y)
            flat, unflatten = ravel_pytree(grads)
            grads = unflatten(jax.lax.psum(flat, AXIS) / replicas)  # one message
            params = jax.tree.map(lambda parameter, grad: parameter - learning_rate * grad, params, grads)
            hits = count_correct(activations["dense3"], y)
            return params, stats, loss_sum + loss * size, correct + hits

        params, stats, loss_sum, correct = jax.lax.fori_loop(
            first, last, step, (params, stats, jnp.zeros((), dtype), jnp.zeros((), jnp.int32))
        )
        return params, stats, jax.lax.psum(loss_sum, AXIS), jax.lax.psum(correct, AXIS)

    everywhere = PartitionSpec()
    sharded = jax.shard_map(of_device, mesh=mesh, in_specs=everywhere, out_specs=everywhere, check_vma=False)
    return sharded(params, stats, train_set, order, first, last)
