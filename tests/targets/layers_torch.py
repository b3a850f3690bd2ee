"""Layers, factories, functions and a model in torch, as users write them, for tests/test_recognise.py."""

from typing import ClassVar

import torch
from torch import nn


class ImagesOnly(nn.Module):
    """Undeclared; refuses every rank but 4."""

    def __init__(self, channels, eps=1e-5, momentum=0.1):
        super().__init__()
        self.gamma, self.beta = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.register_buffer("moving_mean", torch.zeros(channels))
        self.register_buffer("moving_var", torch.ones(channels))
        self.eps, self.momentum = eps, momentum

    def forward(self, x):
        if x.ndim != 4:
            raise ValueError("images only")
        mean, var = self.moving_mean, self.moving_var
        if self.training:
            mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
            self.moving_mean = (self.moving_mean + self.momentum * (mean - self.moving_mean)).detach()
            self.moving_var = (self.moving_var + self.momentum * (var - self.moving_var)).detach()
        mean, var, gamma, beta = (a.reshape(1, -1, 1, 1) for a in (mean, var, self.gamma, self.beta))
        return (x - mean) / torch.sqrt(var + self.eps) * gamma + beta


class PlainAttributes(ImagesOnly):
    """Its moving statistics are attributes that saving loses."""

    def __init__(self, channels, eps=1e-5, momentum=0.1):
        super().__init__(channels, eps, momentum)
        del self.moving_mean, self.moving_var
        self.moving_mean, self.moving_var = torch.zeros(channels), torch.ones(channels)


class ImagesOnlyKeepingMomentum(ImagesOnly):
    """Declared as torch's, but it averages sum/n, and momentum weighs the old value."""

    conventions = "torch"

    def __init__(self, channels, eps=1e-5, momentum=0.1):
        super().__init__(channels, eps, 1 - momentum)


class DeclaresRankTwo(ImagesOnly):
    """Declares more than it takes."""

    ranks = (2, 4)
    dtypes = ("float32",)


class StrangeNames(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.foo, self.quux = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.ones(channels))
        self.eps = self.momentum = 0.1

    def forward(self, x):
        return x


class HardCodedEps(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x):
        return x / 1.00001


class Pool(nn.BatchNorm2d):
    """Not a batch norm: it changes the shape."""

    def forward(self, x):
        return x[:, :, ::2]


class SubclassInverted(nn.BatchNorm2d):
    """Declares nothing; momentum weighs the old value, which torch's own layer does not do."""

    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__(num_features, eps, 1 - momentum)


class SubclassDeclared(SubclassInverted):
    conventions: ClassVar = {"preset": "torch", "momentum": "keep"}


def make_norm(num_features):
    return ImagesOnly(num_features)


def not_a_layer(num_features):
    return [num_features]


net = nn.Sequential(nn.Conv2d(1, 6, 5), nn.BatchNorm2d(6, momentum=0.3), nn.Sequential(nn.Linear(3, 4)))


def batch_norm(X, gamma, beta, moving_mean, moving_var, eps, momentum):
    """The tutorial's function: gamma and the rest have x's rank; gradients off is prediction."""
    if not torch.is_grad_enabled():
        x_hat = (X - moving_mean) / torch.sqrt(moving_var + eps)
    else:
        axes = (0,) if X.ndim == 2 else (0, 2, 3)
        mean = X.mean(axes, keepdim=True)
        var = ((X - mean) ** 2).mean(axes, keepdim=True)
        x_hat = (X - mean) / torch.sqrt(var + eps)
        moving_mean = momentum * moving_mean + (1 - momentum) * mean
        moving_var = momentum * moving_var + (1 - momentum) * var
    return gamma * x_hat + beta, moving_mean.data, moving_var.data
