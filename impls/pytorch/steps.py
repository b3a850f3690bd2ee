"""How the steps of an epoch run: one by one on a CPU, by C++ kernels where those are built, or compiled where that is
asked for; on CUDA as one graph."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from impls.pytorch import cpp_lenet
from impls.pytorch.lenet import LeNet
from impls.pytorch.triton_choice import has_triton

Step = Callable[..., None]
"""step(batch): a step of SGD on the examples of these indices."""
OnBatch = Callable[[int], Any]
"""Called with the number of examples that are done."""


class Steps:
    """SGD on the network by batches of images (N, 28, 28), uint8, and labels (N,), which are on its device.

    `loss_sum` and `correct` add up what training sees, on the device: reading a number would wait for the step.
    """

    def __init__(self, net: LeNet, images: Tensor, labels: Tensor, learning_rate: float) -> None:
        self.net, self.images, self.labels, self.learning_rate = net, images, labels, learning_rate
        self.parameters: list[Tensor] = list(net.parameters())
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=images.device)
        self.correct = torch.zeros((), dtype=torch.int64, device=images.device)

    def by_operations(self, batch: Tensor, loss_of: Callable | None = None) -> None:
        """By PyTorch's operations. loss_of: instead of this module's, which it has been made of."""
        images = scaled(self.images[batch], self.parameters[0].dtype)  # (n, 1, 28, 28)
        labels = self.labels[batch]  # (n,)
        loss, logits = (loss_of or mean_loss)(self.net, images, labels)  # (), (n, 10)
        self.descend(torch.autograd.grad(loss, self.parameters))
        self.loss_sum.add_(loss.detach() * len(batch))
        self.correct.add_(count_correct(logits.detach(), labels))

    def by_kernels(self, batch: Tensor) -> None:
        """The same by Triton kernels, so far as there are any; the gradient of the loss comes with it."""
        from impls.pytorch.triton_step import loss_gradient, scaled_batch

        logits = self.net(scaled_batch(self.images, batch, self.parameters[0].dtype))  # (n, 10)
        dlogits = loss_gradient(logits.detach(), self.labels, batch, self.loss_sum, self.correct)  # (n, 10)
        self.descend(torch.autograd.grad(logits, self.parameters, dlogits))

    def by_cpp(self, kernels: cpp_lenet.Kernels, batch: Tensor) -> None:
        """The same by C++ kernels, which `kernels` are of this network and its images."""
        loss, correct = kernels.step(batch, self.learning_rate)
        self.loss_sum.add_(loss * len(batch))
        self.correct.add_(correct)

    @torch.no_grad()
    def descend(self, gradients: tuple[Tensor, ...]) -> None:
        torch._foreach_add_(self.parameters, gradients, alpha=-self.learning_rate)  # on a GPU one kernel for all


def mean_loss(net: LeNet, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """(the mean loss, the logits (n, 10))"""
    logits = net(images)
    return cross_entropy(logits, labels), logits


def scaled(images: Tensor, dtype: torch.dtype) -> Tensor:
    """Bytes (n, 28, 28) -> pixels in [0, 1], (n, 1, 28, 28)."""
    return images.unsqueeze(1).to(dtype).div_(255)


def count_correct(logits: Tensor, labels: Tensor) -> Tensor:
    return (logits.argmax(1) == labels).sum()


def epoch_runner(
    steps: Steps, examples: int, batch_size: int, compiled: bool
) -> tuple[Callable[[Tensor, OnBatch], None], str]:
    """(run, how): run(order, on_batch) makes the steps of an epoch of so many examples in the order of their indices.

    how is "eager", "C++ kernels", "compiled" or "CUDA graph". First steps are made, which leave traces in the network.
    """
    device = steps.images.device
    if device.type == "cuda":
        step = steps.by_kernels if has_triton() else steps.by_operations
        return captured(step, examples, batch_size, device), "CUDA graph"
    some = torch.arange(min(batch_size, examples), device=device)
    full: Step = steps.by_operations
    rest, how = full, "eager"
    if compiled:
        full, how = compiled_step(steps.by_operations, some)
    elif cpp_lenet.suits(steps.net, len(some)):
        full = rest = partial(steps.by_cpp, cpp_lenet.Kernels(steps.net, steps.images, steps.labels))
        how = "C++ kernels"
    if how != "compiled":  # a compiled step has been made already
        full(some)

    def run(order: Tensor, on_batch: OnBatch) -> None:
        for batch in order.split(batch_size):
            step = full if len(batch) == len(some) else rest if len(batch) > 1 else steps.by_operations
            step(batch)
            on_batch(len(batch))

    return run, how


def compiled_step(step: Step, batch: Tensor) -> tuple[Step, str]:
    try:
        fast = partial(step, loss_of=torch.compile(mean_loss, dynamic=False))
        fast(batch)
    except Exception as error:  # without a C++ compiler, say: whatever it is, eager steps give the same
        warnings.warn(f"steps could not be compiled and run eagerly ({type(error).__name__})", stacklevel=2)
        return step, "eager"
    return fast, "compiled"


def captured(step: Step, examples: int, batch_size: int, device: torch.device) -> Callable[[Tensor, OnBatch], None]:
    """All steps of an epoch as one CUDA graph: a launch instead of some forty for each step."""
    order = torch.arange(examples, device=device)  # the memory that the graph reads
    batches = order.split(batch_size)
    aside = torch.cuda.Stream()  # capturing asks for first steps on another stream
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for batch in (batches[0], batches[0], batches[-1]):
            step(batch)
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for batch in batches:
            step(batch)

    def run(given: Tensor, on_batch: OnBatch) -> None:
        order.copy_(given)
        graph.replay()
        on_batch(examples)

    return run
