"""LeNet on Fashion-MNIST with plain SGD, in PyTorch. The data stay on the device as bytes.

How steps run is for `steps.py` to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from impls.pytorch import cpp_lenet
from impls.pytorch.lenet import LeNet, Weights, our_norm
from impls.pytorch.steps import Steps, count_correct, epoch_runner, scaled
from reference.conventions import DEFAULT_SETTINGS, TrainingSettings

PROGRESS_EVERY = 16
"""Steps."""
EVALUATION_BATCH = 2500
"""On CUDA, which is idle between smaller ones."""
LARGE = 31 << 20  # bytes; blocks of 32 MiB and more leave glibc's threshold as it is


def train(
    data: Any,
    weights: Weights,
    orders: np.ndarray,
    settings: TrainingSettings = DEFAULT_SETTINGS,
    *,
    norm: Callable[[int, int], nn.Module] = our_norm,
    compiled: bool = False,
) -> dict[str, Any]:
    """Train from `weights`, visiting the training examples of epoch e in the order of row e of `orders`.

    data: train_images, test_images (N, 28, 28) uint8; train_labels, test_labels (N,) integers.
    orders: (epochs, n) indices into the training set. Batches are consecutive slices; the last may be short.
    compiled: compile the full batches' forward and backward, if that can be done here; some 20 s.

    Returns {"history": [record, ...], "weights", "device", "dtype", "compile_seconds", "step"}, step being how
    a step ran: "eager", "C++ kernels", "compiled" or "CUDA graph". A record is
    {"epoch", "loss", "train_accuracy", "test_accuracy", "step_seconds", "seconds"}: loss and train accuracy
    as seen while training, test accuracy after the epoch in prediction mode. `step_seconds` covers the
    epoch's loop, synchronized at its end: gathering and scaling a batch on the device, forward, loss,
    backward, update, and adding up the metrics; `seconds` also covers sending the order and the evaluation.
    Neither covers copying the data to the device, before the first epoch. `compile_seconds` is what comes
    before that: first steps, in which libraries load and choose kernels; their effect on the weights is undone.
    Raises RuntimeError where torch has no such device.
    """
    batch_size, dtype, device = settings.batch_size, settings.dtype, settings.device
    kind = getattr(torch, dtype)
    keep_freed_memory()
    with full_precision():
        train_images, train_labels = to_device(data.train_images, data.train_labels, device)
        test_images, test_labels = to_device(data.test_images, data.test_labels, device)
        steps = Steps(make_net(weights, kind, device, norm), train_images, train_labels, settings.learning_rate)
        net = steps.net

        prepared = perf_counter()
        with without_a_trace(net):
            run_epoch, how = epoch_runner(steps, orders.shape[1], batch_size, compiled)
            evaluate(net, test_images[:batch_size], test_labels[:batch_size], batch_size, kind)
            synchronize(device)
        compile_seconds = perf_counter() - prepared

        history: list[dict] = []
        progress = Progress(settings.on_progress, (settings.first_epoch - 1) * orders.shape[1])
        for epoch, order in enumerate(orders, start=settings.first_epoch):
            started = perf_counter()
            indices = torch.tensor(np.ascontiguousarray(order), device=device)
            steps.loss_sum.zero_()
            steps.correct.zero_()
            step_started = perf_counter()
            run_epoch(indices, progress.on_batch)
            synchronize(device)
            step_seconds = perf_counter() - step_started
            record = {
                "epoch": epoch,
                "loss": steps.loss_sum.item() / len(order),
                "train_accuracy": steps.correct.item() / len(order),
                "test_accuracy": evaluate(net, test_images, test_labels, batch_size, kind),
                "step_seconds": step_seconds,
                "seconds": perf_counter() - started,
            }
            history.append(record)
            progress.tell()
            if settings.on_epoch:
                settings.on_epoch(record, net.save_weights())
    return {
        "history": history,
        "weights": net.save_weights(),
        "device": device_name(device),
        "dtype": dtype,
        "compile_seconds": compile_seconds,
        "step": how,
    }


class Progress:
    """Tells `on_progress`, where there is one, how many examples are done, now and then."""

    def __init__(self, on_progress: Callable[[int], None] | None, done: int) -> None:
        self.on_progress, self.done, self.batches = on_progress, done, 0

    def on_batch(self, examples: int) -> None:
        self.done += examples
        self.batches += 1
        if self.batches % PROGRESS_EVERY == 1:
            self.tell()

    def tell(self) -> None:
        if self.on_progress:
            self.on_progress(self.done)


def keep_freed_memory() -> None:
    """Free a large block: from then on glibc reuses freed memory up to that size instead of giving it back.

    Otherwise every step's arrays are mapped and faulted in again: on Linux a training on the CPU is up to a half
    faster by it. Elsewhere it has no effect (mallopt(3), M_MMAP_THRESHOLD: the threshold is dynamic).
    """
    np.empty(LARGE, np.uint8)


def inspect(
    weights: Weights,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    dtype: str = "float32",
    device: str = "cpu",
    norm: Callable[[int, int], nn.Module] = our_norm,
) -> tuple[Weights, Weights]:
    """(gradients of the mean loss by every parameter, activations) of one batch in training mode.

    images: (n, 28, 28) uint8; labels: (n,) integers. Activations are those of bn1 to bn4, after the sigmoid,
    (n, C, H, W) or (n, C), and the logits (n, 10) as dense3's.
    """
    with full_precision():
        pixels, targets = to_device(images, labels, device)
        net = make_net(weights, getattr(torch, dtype), device, norm)
        if cpp_lenet.suits(net, len(targets)):
            return cpp_lenet.Kernels(net, pixels, targets).inspect(torch.arange(len(targets)))
        activations = net.activations(scaled(pixels, getattr(torch, dtype)))
        parameters = {name: net.tensor(name) for name in weights if "moving" not in name}
        loss = cross_entropy(activations["dense3"], targets)
        grads = torch.autograd.grad(loss, list(parameters.values()))
    return to_numpy(dict(zip(parameters, grads, strict=True))), to_numpy(activations)


def to_numpy(tensors: dict[str, Tensor]) -> Weights:
    return {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}


def evaluate(net: LeNet, images: Tensor, labels: Tensor, batch_size: int, dtype: torch.dtype) -> float:
    """The accuracy on images (N, 28, 28) in prediction mode."""
    batch_size = EVALUATION_BATCH if images.is_cuda else batch_size
    if cpp_lenet.suits(net, len(images)):
        kernels = cpp_lenet.Kernels(net, images, labels)
        batches = torch.arange(len(images)).split(batch_size)
        return sum(map(kernels.correct, batches)) / len(images)
    net.eval()
    correct = torch.zeros((), dtype=torch.int64, device=images.device)
    with torch.no_grad():
        for batch, batch_labels in zip(images.split(batch_size), labels.split(batch_size), strict=True):
            correct += count_correct(net(scaled(batch, dtype)), batch_labels)
    net.train()
    return correct.item() / len(images)


# --- the device ---


def make_net(weights: Weights, dtype: torch.dtype, device: str | torch.device, norm: Callable) -> LeNet:
    """The network in training mode, without spending random numbers on weights that are replaced."""
    with torch.random.fork_rng(devices=[]):
        net = LeNet(norm)
    net.to(device=device, dtype=dtype).load_weights(weights)
    return net


def to_device(images: np.ndarray, labels: np.ndarray, device: str) -> tuple[Tensor, Tensor]:
    """Images as bytes, labels as the integers that cross_entropy takes."""
    return torch.tensor(images, device=device), torch.tensor(labels, dtype=torch.int64, device=device)


@contextmanager
def without_a_trace(net: LeNet) -> Iterator[None]:
    """Restore the parameters and statistics afterwards, in the same memory and bit for bit."""
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    yield
    net.load_state_dict(before)


@contextmanager
def full_precision() -> Iterator[None]:
    """On CUDA: float32 in full (no TF32) and deterministic convolutions. Settings are put back afterwards."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    conv = cudnn.conv  # type: ignore[attr-defined]
    before = matmul.fp32_precision, conv.fp32_precision, cudnn.deterministic, cudnn.benchmark
    matmul.fp32_precision, conv.fp32_precision, cudnn.deterministic, cudnn.benchmark = "ieee", "ieee", True, False
    try:
        yield
    finally:
        matmul.fp32_precision, conv.fp32_precision, cudnn.deterministic, cudnn.benchmark = before


def synchronize(device: str | torch.device) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def device_name(device: str) -> str:
    """ "cpu", or "cuda:0 NAME"."""
    if torch.device(device).type != "cuda":
        return device
    index = torch.device(device).index
    index = torch.cuda.current_device() if index is None else index
    return f"cuda:{index} {torch.cuda.get_device_name(index)}"
