"""The layer that the project starts from, written anew with its faults: the target `tutorial`.

After Dive into Deep Learning, section 8.5 "Batch Normalization", the version from scratch: whether it trains depends on
whether gradients are enabled, and its moving statistics are plain attributes, which saving the module loses.
"""

import torch
from torch import Tensor, nn


class BatchNorm(nn.Module):
    """x of rank `num_dims`, 2 or 4, channels on axis 1. gamma, beta: parameters of shape (1, C, 1, 1) or (1, C).

    moving_mean, moving_var: of the same shape, attributes and not buffers.
    """

    conventions = "d2l"
    dtypes = ("float64", "float32")
    ranks = (2, 4)

    def __init__(self, num_features, num_dims, eps=1e-5, momentum=0.9, dtype=None):
        super().__init__()
        shape = (1, num_features, *[1] * (num_dims - 2))
        self.gamma = nn.Parameter(torch.ones(shape, dtype=dtype))
        self.beta = nn.Parameter(torch.zeros(shape, dtype=dtype))
        self.moving_mean = torch.zeros(shape, dtype=dtype)
        self.moving_var = torch.ones(shape, dtype=dtype)
        self.eps, self.momentum = eps, momentum

    def forward(self, x: Tensor) -> Tensor:
        if self.moving_mean.device != x.device:
            self.moving_mean, self.moving_var = self.moving_mean.to(x.device), self.moving_var.to(x.device)
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
