"""LeNet on Fashion-MNIST with plain SGD, in NumPy, for speed. The reference's training, to be read, gives the same."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import numpy as np

from impls.numpy.layers import Weights
from impls.numpy.lenet import LeNet, cross_entropy
from impls.numpy.threads import Run, in_turn, two_threads
from reference.conventions import DEFAULT_SETTINGS, TrainingSettings

PROGRESS_EVERY = 16  # steps


def train(
    data: Any, weights: Weights, orders: np.ndarray, settings: TrainingSettings = DEFAULT_SETTINGS
) -> dict[str, Any]:
    """Train from `weights`, visiting the training examples of epoch e in the order of row e of `orders`.

    data: train_images, test_images (N, 28, 28) uint8; train_labels, test_labels (N,) integers.
    orders: (epochs, n) indices into the training set. Batches are consecutive slices; the last may be short.

    Returns {"history": [record, ...], "weights", "device", "dtype", "compile_seconds", "step"}. A record is
    {"epoch", "loss", "train_accuracy", "test_accuracy", "step_seconds", "seconds"}: loss and train accuracy
    as seen while training, test accuracy after the epoch in prediction mode. `step_seconds` covers forward, with the
    scaling of the images, loss, backward and update; `seconds` also gathering the batches, metrics and evaluation.
    `compile_seconds` covers a first step, which writes to the buffers' memory for the first time; its effect on the
    weights is undone.
    Raises ValueError for a device other than "cpu".
    """
    if settings.device != "cpu":
        raise ValueError(f"NumPy trains on the CPU; device must be 'cpu', got {settings.device!r}")
    with two_threads() as run:
        return train_by(run, data, weights, orders, settings)


def train_by(run: Run, data: Any, weights: Weights, orders: np.ndarray, settings: TrainingSettings) -> dict[str, Any]:
    """`train`, by what runs the halves of a batch."""
    batch_size, dtype = settings.batch_size, settings.dtype
    started = perf_counter()
    net = LeNet(weights, dtype, run)
    net.step(data.train_images[:batch_size], data.train_labels[:batch_size], settings.learning_rate)
    net.load_weights(weights)
    compile_seconds = perf_counter() - started
    history, done = [], (settings.first_epoch - 1) * orders.shape[1]
    for epoch, order in enumerate(orders, start=settings.first_epoch):
        started = perf_counter()
        loss_sum, correct, step_seconds = 0.0, 0, 0.0
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]  # (n,)
            images, labels = data.train_images[batch], data.train_labels[batch]  # (n, 28, 28), (n,)
            step_started = perf_counter()
            loss, logits = net.step(images, labels, settings.learning_rate)
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
            "test_accuracy": evaluate(net, data.test_images, data.test_labels, batch_size),
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
        "compile_seconds": compile_seconds,
        "step": "NumPy" if run is in_turn else "NumPy, halves of a batch in two threads",
    }


def inspect(
    weights: Weights,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    dtype: str = "float32",
    device: str = "cpu",  # noqa: ARG001 - as the other trainings take it
) -> tuple[Weights, Weights]:
    """(gradients of the mean loss by every parameter, activations) of one batch in training mode.

    images: (n, 28, 28) uint8; labels: (n,) integers. Activations are those of bn1 to bn4, after the sigmoid,
    (n, C, H, W) or (n, C), and the logits (n, 10) as dense3's.
    """
    of_batch = LeNet(weights, dtype).of_batch(len(images))
    logits = of_batch.forward(images, training=True)  # (10, n)
    _, dlogits = cross_entropy(logits, labels)
    activations = of_batch.activations() | {"dense3": logits.T.copy()}
    return of_batch.backward(dlogits), activations


def evaluate(net: LeNet, images: np.ndarray, labels: np.ndarray, batch_size: int) -> float:
    """The accuracy on images (N, 28, 28) in prediction mode."""
    correct = 0
    for start in range(0, len(images), batch_size):
        batch = slice(start, start + batch_size)
        logits = net.of_batch(len(images[batch])).forward(images[batch], training=False)  # (10, n)
        correct += count_correct(logits, labels[batch])
    return correct / len(images)


def count_correct(logits: np.ndarray, labels: np.ndarray) -> int:
    return int((logits.argmax(axis=0) == labels).sum())
