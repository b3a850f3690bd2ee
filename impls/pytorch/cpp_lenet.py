"""LeNet's training steps by the C++ kernels of `cpp/`: forward, backward and update of a batch in one call.

The batch is the innermost axis there, a vector's lanes an example each, so that the convolutions, batch norm, sigmoid
and pooling are passes over blocks of examples that stay in a core's cache.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from impls.pytorch import cpp_build
from impls.pytorch.batch_norm import BatchNorm
from impls.pytorch.lenet import LeNet, Weights
from reference.conventions import D2L

LAYERS = (("conv1", "bn1"), ("conv2", "bn2"), ("dense1", "bn3"), ("dense2", "bn4"))
PARAMETERS = (
    *(f"{of}.{part}" for layer, norm in LAYERS for of, part in ((layer, "weight"), (layer, "bias"), (norm, "gamma"),
                                                                (norm, "beta"))),
    "dense3.weight",
    "dense3.bias",
)  # fmt: skip
"""In the order in which the kernels take them."""
MOVING = tuple(f"{norm}.moving_{part}" for _, norm in LAYERS for part in ("mean", "var"))
ACTIVATIONS = ("bn1", "bn2", "bn3", "bn4", "dense3")


def suits(net: LeNet, examples: int) -> bool:
    """Whether the kernels take batches of so many examples: built, on the CPU, with our norm by d2l's conventions."""
    norms = [getattr(net, norm) for _, norm in LAYERS]
    return (
        examples > 1
        and all(type(norm) is BatchNorm and norm.conventions == D2L and norm.cpp is not False for norm in norms)
        and len({(norm.eps, norm.momentum) for norm in norms}) == 1
        and net.conv1.weight.device.type == "cpu"
        and net.conv1.weight.dtype in (torch.float32, torch.float64)
        and cpp_build.namespace() is not None
    )


class Kernels:
    """The kernels on one network, which `suits` them, and on images (N, 28, 28), uint8, with labels (N,), int64."""

    def __init__(self, net: LeNet, images: Tensor, labels: Tensor) -> None:
        self.images, self.labels = images, labels
        self.parameters = [net.tensor(name).detach() for name in PARAMETERS]
        self.moving = [net.tensor(name) for name in MOVING]
        self.updates = [getattr(net, norm).updates for _, norm in LAYERS]
        self.eps, self.momentum = net.bn1.eps, net.bn1.momentum
        self.operators = cpp_build.namespace()
        self.workspaces: dict[int, Tensor] = {}

    def workspace(self, batch: Tensor) -> Tensor:
        """The memory of a step, kept: to write to new pages takes longer than the arithmetic."""
        dtype = self.parameters[0].dtype
        if len(batch) not in self.workspaces:
            size = self.operators.lenet_workspace(len(batch), dtype)
            self.workspaces[len(batch)] = torch.empty(size, dtype=dtype)
        return self.workspaces[len(batch)]

    def arguments(self, batch: Tensor) -> tuple[Any, ...]:
        return self.images, self.labels, batch, self.parameters, self.moving, self.workspace(batch)

    def step(self, batch: Tensor, learning_rate: float) -> tuple[float, int]:
        """A step of SGD on the examples of these indices: (mean loss, correct), from before the update."""
        seen = self.operators.lenet_step(*self.arguments(batch), learning_rate, self.eps, self.momentum)
        torch._foreach_add_(self.updates, 1)
        return seen

    def correct(self, batch: Tensor) -> int:
        """How many of the examples of these indices are predicted right."""
        return self.operators.lenet_correct(*self.arguments(batch), self.eps)

    def inspect(self, batch: Tensor) -> tuple[Weights, Weights]:
        """(gradients by name, activations) in training mode, as `training.inspect` gives them."""
        tensors = [
            tensor.numpy() for tensor in self.operators.lenet_gradients(*self.arguments(batch), self.eps, self.momentum)
        ]
        gradients = dict(zip(PARAMETERS, tensors, strict=False))
        return gradients, dict(zip(ACTIVATIONS, tensors[len(PARAMETERS) :], strict=True))
