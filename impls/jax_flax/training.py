"""LeNet on Fashion-MNIST with plain SGD, in JAX: many steps are one call, a loop that stays on the device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from time import perf_counter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from impls.jax_flax import halves
from impls.jax_flax.halves import of_first_device, prepare
from impls.jax_flax.lenet import LeNet, Weights
from impls.jax_flax.pallas_layer import FasterBatchNorm
from impls.jax_flax.steps import count_correct, loss_and_grads, run_steps, scaled
from impls.jax_flax.tiled_lenet import TiledLeNet
from reference.conventions import DEFAULT_SETTINGS, TrainingSettings

STEPS_IN_A_CALL = {"cpu": 13, "cuda": 234}
"""The 234 full batches of an epoch are 18 calls on a CPU, for the progress; one on a GPU, which waits after each."""
EVALUATION_BATCH = {"cpu": 250, "cuda": 2500}
"""On a CPU its activations stay in the cache; a GPU needs that many to be busy."""


def train(
    data: Any,
    weights: Weights,
    orders: np.ndarray,
    settings: TrainingSettings = DEFAULT_SETTINGS,
) -> dict[str, Any]:
    """Train from `weights`, visiting the training examples of epoch e in the order of row e of `orders`.

    data: train_images, test_images (N, 28, 28) uint8; train_labels, test_labels (N,) integers.
    orders: (epochs, n) indices into the training set. Batches are consecutive slices; the last may be short.
    settings: dtype is "float32" or "float64".

    Returns {"history": [record, ...], "weights", "device", "dtype", "compile_seconds", "step"}. A record is
    {"epoch", "loss", "train_accuracy", "test_accuracy", "step_seconds", "seconds"}: loss and train accuracy
    as seen while training, test accuracy after the epoch in prediction mode. `step_seconds` covers the loop on
    the device: gathering and scaling a batch, forward, loss, backward, update and adding up the metrics;
    `seconds` also sending the order, fetching the metrics and evaluation. Neither covers compiling, nor
    copying the data to the device, which both come before the first epoch.
    Raises ValueError for another dtype or device, RuntimeError where JAX has no CUDA device.
    """
    batch_size, dtype, device = settings.batch_size, settings.dtype, settings.device
    if dtype not in ("float32", "float64"):
        raise ValueError(f"dtype must be 'float32' or 'float64', got {dtype!r}")
    if device not in ("cpu", "cuda"):
        raise ValueError(f"device must be 'cpu' or 'cuda', got {device!r}")
    prepare()
    where = jax.devices(device)[0]
    with full_precision(dtype), jax.default_device(where):
        net = network(weights, dtype, device)
        params, stats = jax.device_put((nnx.state(net, nnx.Param), nnx.state(net, nnx.BatchStat)), where)
        net.eval()
        predicting = nnx.graphdef(net)
        net.train()
        training = nnx.graphdef(net)
        train_set = jnp.asarray(data.train_images), jnp.asarray(data.train_labels)
        test_set = jnp.asarray(data.test_images), jnp.asarray(data.test_labels)
        rate, at_once = jnp.asarray(settings.learning_rate, dtype), STEPS_IN_A_CALL[device]
        steps = partial(halves.run_steps, at_once=at_once) if device == "cpu" else run_steps
        in_halves = device == "cpu" and halves.two_devices(batch_size) is not None

        started = perf_counter()
        for order, first, _, size in pieces(orders[0], batch_size, at_once) if len(orders) else []:
            # from `first` to `first`: no step, but compiled
            jax.block_until_ready(steps(training, params, stats, train_set, order, first, first, rate, batch_size=size))
        evaluate(predicting, params, stats, test_set, EVALUATION_BATCH[device])
        compile_seconds = perf_counter() - started

        history, done = [], (settings.first_epoch - 1) * orders.shape[1]
        for epoch, order_of_epoch in enumerate(orders, start=settings.first_epoch):
            started = perf_counter()
            loss_sum, correct, step_seconds = 0.0, 0, 0.0
            for order, first, last, size in pieces(order_of_epoch, batch_size, at_once):
                step_started = perf_counter()
                params, stats, losses, hits = jax.block_until_ready(
                    steps(training, params, stats, train_set, order, first, last, rate, batch_size=size)
                )
                step_seconds += perf_counter() - step_started
                loss_sum += float(losses)
                correct += int(hits)
                done += (last - first) * size
                if settings.on_progress:
                    settings.on_progress(done)
            own_params, own_stats = of_first_device((params, stats))
            record = {
                "epoch": epoch,
                "loss": loss_sum / len(order_of_epoch),
                "train_accuracy": correct / len(order_of_epoch),
                "test_accuracy": evaluate(predicting, own_params, own_stats, test_set, EVALUATION_BATCH[device]),
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
            "step": "XLA loop, half a batch a core" if in_halves else "XLA loop",
        }


@contextmanager
def full_precision(dtype: str) -> Iterator[None]:
    """float64 where asked for, and on a GPU float32 that is not rounded to TF32; JAX's settings are put back."""
    with jax.enable_x64(dtype == "float64"), jax.default_matmul_precision("highest"):
        yield


def pieces(order: np.ndarray, batch_size: int, at_once: int) -> list[tuple[jax.Array, int, int, int]]:
    """An epoch as calls of `run_steps`: (order, first step, end, batch size), at most `at_once` steps in each.

    A short last batch is its own call.
    """
    steps = len(order) // batch_size
    full, rest = np.split(np.asarray(order, np.int32), [steps * batch_size])
    order_of_full = jnp.asarray(full)
    calls = [(order_of_full, first, min(first + at_once, steps), batch_size) for first in range(0, steps, at_once)]
    if len(rest):
        calls.append((jnp.asarray(rest), 0, 1, len(rest)))
    return calls


def inspect(
    weights: Weights, images: np.ndarray, labels: np.ndarray, *, dtype: str = "float32", device: str = "cpu"
) -> tuple[Weights, Weights]:
    """(gradients of the mean loss by every parameter, activations) of one batch in training mode.

    images: (n, 28, 28) uint8; labels: (n,) integers. Activations are those of bn1 to bn4, after the sigmoid,
    (n, C, H, W) or (n, C), and the logits (n, 10) as dense3's.
    """
    prepare()
    with full_precision(dtype), jax.default_device(jax.devices(device)[0]):
        net = network(weights, dtype, device)
        net.train()
        graph, params, stats = nnx.graphdef(net), nnx.state(net, nnx.Param), nnx.state(net, nnx.BatchStat)
        pixels = scaled(jnp.asarray(images), dtype)  # (n, 28, 28)
        _, activations, _, grads = jax.jit(loss_and_grads, static_argnums=0)(
            graph, params, stats, pixels, jnp.asarray(labels)
        )
        named = nnx.merge(graph, grads, stats).save_weights()  # gradients in the place of the parameters
    gradients = {name: array for name, array in named.items() if "moving" not in name}
    return gradients, {name: channels_first(np.asarray(array)) for name, array in activations.items()}


def network(weights: Weights, dtype: str, device: str) -> LeNet:
    return TiledLeNet(weights, dtype) if device == "cpu" else LeNet(weights, dtype, FasterBatchNorm)


def device_name(device: str) -> str:
    """ "cpu", or "cuda:0 NAME"."""
    return "cpu" if device == "cpu" else f"cuda:0 {jax.devices(device)[0].device_kind}"


def channels_first(x: np.ndarray) -> np.ndarray:
    """(n, H, W, C) -> (n, C, H, W); (n, C) as it is."""
    return np.moveaxis(x, -1, 1)


def evaluate(graph, params, stats, test_set, batch_size: int) -> float:
    """The accuracy in prediction mode on (images (N, 28, 28), labels (N,))."""
    return int(count_correct_in(graph, params, stats, *test_set, batch_size=batch_size)) / len(test_set[1])


@partial(jax.jit, static_argnums=0, static_argnames="batch_size")
def count_correct_in(graph, params, stats, images, labels, *, batch_size):
    """How many are predicted right: full batches in a loop, one call for all, then the rest."""
    net = nnx.merge(graph, params, stats)

    def count(batch):
        images, labels = batch  # (n, 28, 28), (n,)
        return count_correct(net(scaled(images, net.dense3.weight.dtype)), labels)

    full, rest = divmod(len(images), batch_size)
    batches, last = split((images, labels), full, batch_size)
    correct = jax.lax.map(count, batches).sum()
    return correct + count(last) if rest else correct


def split(arrays, batches: int, size: int):
    """(`batches` batches of this size along a new first axis, what is left), of every array."""
    head = [array[: batches * size].reshape(batches, size, *array.shape[1:]) for array in arrays]
    return head, [array[batches * size :] for array in arrays]
