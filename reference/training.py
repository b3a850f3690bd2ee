"""LeNet on Fashion-MNIST with plain SGD, in NumPy: forward, loss, backward and update, all written out."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np

from reference.batch_norm import BatchNorm
from reference.conventions import DEFAULT_SETTINGS, TrainingSettings
from reference.lenet import LeNet, Weights, cross_entropy

PROGRESS_EVERY = 16  # steps
LARGE = 31 << 20  # bytes; blocks of 32 MiB and more leave glibc's threshold as it is


def train(
    data: Any,
    weights: Weights,
    orders: np.ndarray,
    settings: TrainingSettings = DEFAULT_SETTINGS,
    *,
    norm: Callable = BatchNorm,
) -> dict[str, Any]:
    """Train from `weights`, visiting the training examples of epoch e in the order of row e of `orders`.

    data: train_images, test_images (N, 28, 28) uint8; train_labels, test_labels (N,) integers.
    orders: (epochs, n) indices into the training set. Batches are consecutive slices; the last may be short.
    norm: what makes the batch-norm layers, as in `LeNet`.

    Returns {"history": [record, ...], "weights", "device", "dtype", "compile_seconds": 0.0, "step"}. A record is
    {"epoch", "loss", "train_accuracy", "test_accuracy", "step_seconds", "seconds"}: loss and train accuracy
    as seen while training, test accuracy after the epoch in prediction mode. `step_seconds` covers forward,
    loss, backward and update; `seconds` also gathering and scaling the batches, metrics and evaluation.
    Raises ValueError for a device other than "cpu".
    """
    batch_size, dtype, device = settings.batch_size, settings.dtype, settings.device
    if device != "cpu":
        raise ValueError(f"NumPy trains on the CPU; device must be 'cpu', got {device!r}")
    keep_freed_memory()
    net = LeNet(weights, dtype, norm)
    history, done = [], (settings.first_epoch - 1) * orders.shape[1]
    for epoch, order in enumerate(orders, start=settings.first_epoch):
        started = perf_counter()
        loss_sum, correct, step_seconds = 0.0, 0, 0.0
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]  # (n,)
            images = scaled(data.train_images[batch], dtype)  # (1, 28, 28, n)
            labels = data.train_labels[batch]  # (n,)
            step_started = perf_counter()
            loss, logits = sgd_step(net, images, labels, settings.learning_rate)
            step_seconds += perf_counter() - step_started
            loss_sum += float(loss) * len(batch)
            correct += count_correct(logits, labels)
            done += len(batch)
            if settings.on_progress and start // batch_size % PROGRESS_EVERY == 0:
                settings.on_progress(done)
        record = {
            "epoch": epoch,
            "loss": loss_sum / len(order),
            "train_accuracy": correct / len(order),
            "test_accuracy": evaluate(net, data.test_images, data.test_labels, batch_size, dtype),
            "step_seconds": step_seconds,
            "seconds": perf_counter() - started,
        }
        history.append(record)
        if settings.on_progress:
            settings.on_progress(done)
        if settings.on_epoch:
            settings.on_epoch(record, net.save_weights())
    return {
        "history": history,
        "weights": net.save_weights(),
        "device": "cpu",
        "dtype": dtype,
        "compile_seconds": 0.0,
        "step": "NumPy",
    }


def keep_freed_memory() -> None:
    """Free a large block: from then on glibc reuses freed memory up to that size instead of giving it back.

    Otherwise every step's arrays are mapped and faulted in again: on Linux this training is a third faster by it.
    Elsewhere it has no effect (mallopt(3), M_MMAP_THRESHOLD: the threshold is dynamic).
    """
    np.empty(LARGE, np.uint8)


def sgd_step(
    net: LeNet, images: np.ndarray, labels: np.ndarray, learning_rate: float
) -> tuple[np.floating, np.ndarray]:
    """One step of SGD on images (1, 28, 28, n). Returns the loss and the logits (10, n) before the update."""
    logits, cache = net.forward(images, training=True)  # (10, n)
    loss, dlogits = cross_entropy(logits, labels)  # (), (10, n)
    for name, grad in net.backward(dlogits, cache).items():
        net.parameters[name] -= grad.dtype.type(learning_rate) * grad
    return loss, logits


def inspect(
    weights: Weights,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    dtype: str = "float32",
    device: str = "cpu",  # noqa: ARG001 - as the other trainings take it
    norm: Callable = BatchNorm,
) -> tuple[Weights, Weights]:
    """(gradients of the mean loss by every parameter, activations) of one batch in training mode.

    images: (n, 28, 28) uint8; labels: (n,) integers. Activations are those of bn1 to bn4, after the sigmoid,
    (n, C, H, W) or (n, C), and the logits (n, 10) as dense3's.
    """
    net = LeNet(weights, dtype, norm)
    logits, cache = net.forward(scaled(images, dtype), training=True)  # (10, n)
    _, dlogits = cross_entropy(logits, labels)
    activations = {}
    for name in net.norms:
        s = cache[name][0].T  # (C, H * W * n)
        side = int((s.shape[1] // len(labels)) ** 0.5)
        shape = (len(s), side, side, len(labels)) if side > 1 else (len(s), len(labels))
        activations[name] = np.moveaxis(s.reshape(shape), -1, 0)  # (n, C, H, W) or (n, C)
    return net.backward(dlogits, cache), activations | {"dense3": logits.T}


def evaluate(net: LeNet, images: np.ndarray, labels: np.ndarray, batch_size: int, dtype: str) -> float:
    """The accuracy on images (N, 28, 28) in prediction mode."""
    correct = 0
    for start in range(0, len(images), batch_size):
        batch = slice(start, start + batch_size)
        logits, _ = net.forward(scaled(images[batch], dtype), training=False)  # (10, n)
        correct += count_correct(logits, labels[batch])
    return correct / len(images)


def scaled(images: np.ndarray, dtype: str) -> np.ndarray:
    """Bytes (n, 28, 28) -> pixels in [0, 1], (1, 28, 28, n) as the layers take them."""
    batch_last = np.ascontiguousarray(images.transpose(1, 2, 0))[None]  # (1, 28, 28, n), still bytes
    return np.divide(batch_last, 255, dtype=dtype)


def count_correct(logits: np.ndarray, labels: np.ndarray) -> int:
    return int((logits.argmax(axis=0) == labels).sum())
