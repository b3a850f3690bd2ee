"""LeNet with batch norm after every hidden layer (d2l section 8.5), in PyTorch.

Weights come and go as one flat dict, name -> NumPy array, in PyTorch's layout: conv1.weight, conv1.bias,
bn1.gamma, bn1.beta, bn1.moving_mean, bn1.moving_var, conv2..., bn2..., dense1..., bn3..., dense2..., bn4...,
dense3.weight, dense3.bias.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from impls.pytorch.batch_norm import BatchNorm, sigmoid_of
from impls.pytorch.convolution import convolution
from impls.pytorch.triton_choice import has_triton

Weights = dict[str, np.ndarray]

# What PyTorch's own batch norm calls the parts that ours names after the paper.
NATIVE_NAMES = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_var": "running_var"}


def our_norm(num_features: int, num_dims: int) -> nn.Module:  # noqa: ARG001 - any rank is one class
    return BatchNorm(num_features)


def native_norm(num_features: int, num_dims: int) -> nn.Module:
    """PyTorch's own layer, whose moving variance is unbiased. num_dims: 2 after dense, 4 after conv."""
    return (nn.BatchNorm2d if num_dims == 4 else nn.BatchNorm1d)(num_features)


class LeNet(nn.Module):
    """images (N, 1, 28, 28) -> logits (N, 10).

    `norm(num_features, num_dims)` makes the four batch-norm layers; num_dims is the rank of their input.
    """

    def __init__(self, norm: Callable[[int, int], nn.Module] = our_norm) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, kernel_size=5)
        self.bn1 = norm(6, 4)
        self.conv2 = nn.Conv2d(6, 16, kernel_size=5)
        self.bn2 = norm(16, 4)
        self.dense1 = nn.Linear(256, 120)
        self.bn3 = norm(120, 2)
        self.dense2 = nn.Linear(120, 84)
        self.bn4 = norm(84, 2)
        self.dense3 = nn.Linear(84, 10)

    def load_weights(self, weights: Weights) -> None:
        """Copy `weights` into the parameters and the moving statistics, to their dtype and device."""
        with torch.no_grad():
            for name, array in weights.items():
                self.tensor(name).copy_(torch.tensor(array))

    def save_weights(self) -> Weights:
        """Copies of the parameters and the moving statistics."""
        names = [f"{layer}.{part}" for layer, module in self.named_children() for part in parts(module)]
        return {name: self.tensor(name).detach().cpu().numpy().copy() for name in names}

    def tensor(self, name: str) -> Tensor:
        """The parameter or buffer behind a name such as "conv1.weight" or "bn1.moving_mean"."""
        layer, part = name.split(".")
        module = getattr(self, layer)
        return getattr(module, part if hasattr(module, part) else NATIVE_NAMES[part])

    def forward(self, images: Tensor) -> Tensor:
        return self.activations(images)["dense3"]

    def activations(self, images: Tensor) -> dict[str, Tensor]:
        """What every hidden layer passes on, by its norm's name, and the logits, as dense3's."""
        bn1 = sigmoid_of(self.bn1, convolution(images, self.conv1.weight, self.conv1.bias))  # (N, 6, 24, 24)
        x = average_pool(bn1)  # (N, 6, 12, 12)
        bn2 = sigmoid_of(self.bn2, convolution(x, self.conv2.weight, self.conv2.bias))  # (N, 16, 8, 8)
        x = average_pool(bn2).flatten(1)  # (N, 16 * 4 * 4)
        bn3 = sigmoid_of(self.bn3, dense(self.dense1, x))  # (N, 120)
        bn4 = sigmoid_of(self.bn4, dense(self.dense2, bn3))  # (N, 84)
        return {"bn1": bn1, "bn2": bn2, "bn3": bn3, "bn4": bn4, "dense3": dense(self.dense3, bn4)}  # logits: (N, 10)


def dense(layer: nn.Linear, x: Tensor) -> Tensor:
    """x (N, I) -> (N, O). On a GPU by Triton kernels, in float32."""
    if x.is_cuda and x.dtype is torch.float32 and has_triton():
        from impls.pytorch import triton_dense  # only where Triton is

        return triton_dense.Dense.apply(x, layer.weight, layer.bias)
    return layer(x)


def average_pool(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, H/2, W/2): the average of each 2x2 square. On a GPU by a Triton kernel."""
    if x.is_cuda and has_triton():
        from impls.pytorch import triton_step  # only where Triton is

        return triton_step.AveragePool.apply(x)
    return AveragePool.apply(x)


class AveragePool(torch.autograd.Function):
    """The same as sums of strided views.

    On a CPU these are several times faster than PyTorch's avg_pool2d and its backward, which go pixel by pixel.
    """

    @staticmethod
    def forward(ctx, x):
        ctx.shape = x.shape
        rows = x[:, :, 0::2] + x[:, :, 1::2]  # (N, C, H/2, W)
        return (rows[..., 0::2] + rows[..., 1::2]).mul_(0.25)  # (N, C, H/2, W/2)

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        share = dy * 0.25  # (N, C, H/2, W/2): each pixel takes a quarter
        dx = dy.new_empty(ctx.shape)  # (N, C, H, W)
        for i in (0, 1):
            for j in (0, 1):
                dx[:, :, i::2, j::2] = share
        return dx


def parts(module: nn.Module) -> list[str]:
    return ["weight", "bias"] if isinstance(module, nn.Conv2d | nn.Linear) else list(NATIVE_NAMES)
