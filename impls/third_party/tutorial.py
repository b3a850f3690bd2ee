"""The layer that the project starts from, written anew with its faults: the target `tutorial`.

After Dive into Deep Learning, "Batch Normalization", the version from scratch: whether it trains hangs on whether
gradients are enabled, and its moving statistics are plain attributes, which saving the module loses.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from impls.pytorch.under_test import TORCH_DTYPES, Module, named


class TutorialLayer(nn.Module):
    """gamma, beta: parameters (1, C, 1, ...). moving_mean, moving_var: attributes, not buffers."""

    def __init__(self, shape: tuple[int, ...], eps: float, momentum: float, dtype: torch.dtype) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(shape, dtype=dtype))
        self.beta = nn.Parameter(torch.zeros(shape, dtype=dtype))
        self.moving_mean = torch.zeros(shape, dtype=dtype)
        self.moving_var = torch.ones(shape, dtype=dtype)
        self.eps, self.momentum = eps, momentum

    def forward(self, x: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            x_hat = (x - self.moving_mean) / torch.sqrt(self.moving_var + self.eps)
            return self.gamma * x_hat + self.beta
        axes = [axis for axis in range(x.ndim) if axis != 1]
        mean = x.mean(axes, keepdim=True)
        var = ((x - mean) ** 2).mean(axes, keepdim=True)
        x_hat = (x - mean) / torch.sqrt(var + self.eps)
        self.moving_mean = (self.momentum * self.moving_mean + (1.0 - self.momentum) * mean).detach()
        self.moving_var = (self.momentum * self.moving_var + (1.0 - self.momentum) * var).detach()
        return self.gamma * x_hat + self.beta


class Tutorial(Module):
    conventions = "d2l"
    dtypes = ("float64", "float32")
    ranks = (2, 4)

    def __init__(self, setup: Any) -> None:
        self.dtype = TORCH_DTYPES[setup.dtype]
        shape = (1, setup.num_features, *[1] * (setup.ndim - 2))
        eps = 1e-5 if setup.eps is None else setup.eps
        momentum = 0.9 if setup.momentum is None else setup.momentum
        self.layer = TutorialLayer(shape, eps, momentum, self.dtype)
        with torch.no_grad():
            for name in ("gamma", "beta", "moving_mean", "moving_var"):
                getattr(self.layer, name).copy_(torch.from_numpy(getattr(setup, name)).reshape(shape))

    def parameter_gradients(self) -> tuple[Tensor, Tensor]:
        return self.layer.gamma.grad.flatten(), self.layer.beta.grad.flatten()

    def stats(self) -> dict[str, Any]:
        return named(moving_mean=self.layer.moving_mean.flatten(), moving_var=self.layer.moving_var.flatten())
