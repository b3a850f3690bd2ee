"""torch.nn.BatchNorm1d, 2d and 3d as they come: the target `torch-native`."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from impls.pytorch.under_test import TORCH_DTYPES, Module, named, parameter_dtype

LAYERS = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}


class TorchNative(Module):
    conventions = "torch"

    def __init__(self, setup: Any) -> None:
        self.dtype = TORCH_DTYPES[setup.dtype]
        given = {name: value for name in ("eps", "momentum") if (value := getattr(setup, name)) is not None}
        layer: Any = LAYERS[setup.ndim](setup.num_features, **given, dtype=parameter_dtype(self.dtype))
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(setup.gamma))
            layer.bias.copy_(torch.from_numpy(setup.beta))
            layer.running_mean.copy_(torch.from_numpy(setup.moving_mean))
            layer.running_var.copy_(torch.from_numpy(setup.moving_var))
        self.layer = layer

    def parameter_gradients(self):
        return self.layer.weight.grad, self.layer.bias.grad

    def stats(self):
        return named(moving_mean=self.layer.running_mean, moving_var=self.layer.running_var)
