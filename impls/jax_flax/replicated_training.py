"""Data-parallel training in JAX: the steps of training.py, each by all devices of a mesh together.

The devices are those of one process, or of several that jax.distributed has joined. Every device takes its shard of
each batch, of nearly equal size. Batch norm is synchronized, and the gradients of the shards' losses, which add up to
the mean over the batch, are added up over the devices: the same step as on one device but for rounding. All devices
hold the same weights, to the bit.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from time import perf_counter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.flatten_util import ravel_pytree
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from impls.jax_flax.halves import of_first_device
from impls.jax_flax.lenet import LeNet, Weights, cross_entropy
from impls.jax_flax.steps import scaled
from impls.jax_flax.sync_batch_norm import SyncBatchNorm
from impls.jax_flax.training import (
    EVALUATION_BATCH,
    STEPS_IN_A_CALL,
    device_name,
    evaluate,
    full_precision,
    pieces,
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
    on_compiled: Callable[[], None] | None = None,
) -> dict[str, Any]:
    """As `training.train`, which says what the arguments are, by `replicas` devices.

    on_compiled: called before the first step.

    Where they belong to several processes, each calls it with the same arguments, the functions aside. The first
    process alone evaluates, while the others wait for it in the next step; their `test_accuracy` is NaN.
    Raises RuntimeError where there are too few devices.
    """
    batch_size, dtype, device = settings.batch_size, settings.dtype, settings.device
    devices = jax.devices(device)
    if len(devices) < replicas:
        raise RuntimeError(f"{replicas} replicas need as many devices; JAX has {len(devices)} of {device}")
    mesh = jax.make_mesh((replicas,), (AXIS,), axis_types=(AxisType.Auto,), devices=devices[:replicas])
    with full_precision(dtype), jax.default_device(jax.local_devices(backend=device)[0]):
        net = LeNet(weights, dtype, ShardNorm)
        params, stats = on_every_device((nnx.state(net, nnx.Param), nnx.state(net, nnx.BatchStat)), mesh)
        net.eval()
        predicting = nnx.graphdef(net)
        net.train()
        training = nnx.graphdef(net)
        train_set = on_every_device((data.train_images, data.train_labels), mesh)
        test_set = jnp.asarray(data.test_images), jnp.asarray(data.test_labels)
        rate = np.asarray(settings.learning_rate, dtype)
        compiling = perf_counter()
        compiled = {}  # not run yet: the processes must not wait for each other in a call while one of them compiles
        for order, steps, size in calls(orders[0], batch_size, STEPS_IN_A_CALL[device], mesh) if len(orders) else []:
            if (size, len(order)) not in compiled:
                arguments = training, params, stats, train_set, order, *steps, rate
                compiled[size, len(order)] = run_steps.lower(*arguments, batch_size=size, mesh=mesh).compile()
        compile_seconds = perf_counter() - compiling
        if on_compiled:
            on_compiled()
        history, done = [], (settings.first_epoch - 1) * orders.shape[1]
        for epoch, order_of_epoch in enumerate(orders, start=settings.first_epoch):
            started = perf_counter()
            loss_sum, correct = 0.0, 0
            for order, steps, size in calls(order_of_epoch, batch_size, STEPS_IN_A_CALL[device], mesh):
                run = compiled[size, len(order)]
                params, stats, losses, hits = advance(run, params, stats, train_set, order, *steps, rate)
                loss_sum, correct = loss_sum + float(losses), correct + int(hits)
                done += (steps[1] - steps[0]) * size
                if settings.on_progress:
                    settings.on_progress(done)
            step_seconds = perf_counter() - started
            own_params, own_stats = of_first_device((params, stats))
            record = {
                "epoch": epoch,
                "loss": loss_sum / len(order_of_epoch),
                "train_accuracy": correct / len(order_of_epoch),
                "test_accuracy": evaluate(predicting, own_params, own_stats, test_set, EVALUATION_BATCH[device])
                if jax.process_index() == 0
                else float("nan"),
                "step_seconds": step_seconds,
                "seconds": perf_counter() - started,
            }
            history.append(record)
            if settings.on_epoch:
                settings.on_epoch(record, nnx.merge(training, own_params, own_stats).save_weights())
        return {
            "history": history,
            "weights": nnx.merge(training, *of_first_device((params, stats))).save_weights(),
            "device": device_name(device),
            "dtype": dtype,
            "compile_seconds": compile_seconds,
            "step": f"XLA loop, {replicas} {'devices' if jax.process_count() == 1 else 'processes'}",
        }


def on_every_device(arrays: Any, mesh: Mesh) -> Any:
    """A tree of arrays, the same in every process, on each device of the mesh."""
    everywhere = NamedSharding(mesh, PartitionSpec())

    def placed(array: Any) -> jax.Array:
        array = np.asarray(array)
        return jax.make_array_from_callback(array.shape, everywhere, array.__getitem__)

    return jax.tree.map(placed, arrays)


class ShardNorm(SyncBatchNorm):
    """`SyncBatchNorm` in a network that calls it with x alone: how many examples count is set before."""

    examples: jax.Array | None = None

    def __call__(self, x, examples=None):
        return super().__call__(x, self.examples if examples is None else examples)


def calls(order: np.ndarray, batch_size: int, at_once: int, mesh: Mesh) -> Iterator[tuple]:
    """As `training.pieces`: (order on every device, (first step, end), batch size)."""
    for own_order, first, last, size in pieces(order, batch_size, at_once):
        yield on_every_device(own_order, mesh), (first, last), size


def advance(compiled: Any, *arguments: Any) -> Any:
    """`run_steps`, compiled, and wait until its steps are done."""
    return jax.block_until_ready(compiled(*arguments))


@partial(jax.jit, static_argnums=0, static_argnames=("batch_size", "mesh"))
def run_steps(graph, params, stats, train_set, order, first, last, learning_rate, *, batch_size, mesh):
    """Steps `first` to `last` (not included) of the epoch in this order: (params, stats, loss sum, correct)."""
    dtype = learning_rate.dtype

    def of_device(params, stats, train_set, order, first, last):
        images, labels = train_set  # (n, 28, 28) uint8, (n,) uint8
        own, examples = shard_of(jax.lax.axis_index(AXIS), mesh.size, batch_size)  # (size,), ()

        def step(i, state):
            params, stats, loss_sum, correct = state
            shard = order[jnp.minimum(i * batch_size + own, len(order) - 1)]  # (size,)
            x, y = scaled(images[shard], dtype), labels[shard]  # (size, 28, 28), (size,)
            loss, hits, stats, grads = loss_and_grads(graph, params, stats, x, y, examples)
            flat, unflatten = ravel_pytree(grads)
            grads = unflatten(jax.lax.psum(flat, AXIS) / batch_size)  # one message
            params = jax.tree.map(lambda parameter, grad: parameter - learning_rate * grad, params, grads)
            return params, stats, loss_sum + loss, correct + hits

        params, stats, loss_sum, correct = jax.lax.fori_loop(
            first, last, step, (params, stats, jnp.zeros((), dtype), jnp.zeros((), jnp.int32))
        )
        return params, stats, jax.lax.psum(loss_sum, AXIS), jax.lax.psum(correct, AXIS)

    everywhere = PartitionSpec()
    sharded = jax.shard_map(of_device, mesh=mesh, in_specs=everywhere, out_specs=everywhere, check_vma=False)
    return sharded(params, stats, train_set, order, first, last)


def shard_of(rank, replicas, batch_size):
    """(places in a batch (size,), how many of the first ones count) of a rank's shard; `size` is the same for all.

    The first `larger` shards have one example more. A place that does not count may lie beyond the batch.
    """
    share, larger = divmod(batch_size, replicas)
    places = rank * share + jnp.minimum(rank, larger) + jnp.arange(share + (larger > 0))
    return places, share + (rank < larger)


def loss_and_grads(graph, params, stats, images, labels, examples):
    """(loss sum, how many were right, the statistics moved, the loss sum's gradients) of a shard's first examples.

    images (n, 28, 28), labels (n,); examples: (), how many of them count, possibly none.
    """
    counts = jnp.arange(len(images)) < examples  # (n,)

    def loss_of(params):
        net = nnx.merge(graph, params, stats, copy=True)  # a copy, whose statistics this trace may move
        for norm in (net.bn1, net.bn2, net.bn3, net.bn4):
            norm.examples = examples
        logits = net(images)  # (n, 10)
        losses = jax.vmap(lambda logits, label: cross_entropy(logits[None], label[None]))(logits, labels)  # (n,)
        hits = (counts & (logits.argmax(axis=1) == labels)).sum(dtype=jnp.int32)
        return jnp.where(counts, losses, 0).sum(), (hits, nnx.state(net, nnx.BatchStat))

    (loss, (hits, moved)), grads = jax.value_and_grad(loss_of, has_aux=True)(params)
    return loss, hits, moved, grads
