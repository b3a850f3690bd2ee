"""tutorial in case exact_1024, float64: dx of step 1 (eval)."""

from pathlib import Path

import numpy as np

with np.load(Path(__file__).with_name('script-tutorial.exact_1024.npz')) as file:
    arrays = {name: array for name, array in file.items()}

channels, eps, momentum = 2, 3.0, 0.875
gamma = np.array([1.5, -0.75], np.float64)
beta = np.array([0.5, -1.25], np.float64)
moving_mean = np.array([0.25, -0.5], np.float64)
moving_var = np.array([1.0, 13.0], np.float64)

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

layer = BatchNorm(channels, 4, eps, momentum, torch.float64)
for name, value in zip(('gamma', 'beta', 'moving_mean', 'moving_var'), (gamma, beta, moving_mean, moving_var)):
    with torch.no_grad():
        getattr(layer, name).copy_(torch.tensor(value).reshape(getattr(layer, name).shape))


def call(op, x, dy):
    layer.train(op != "eval")
    x, dy = (torch.tensor(array.astype(np.float64)).to(torch.float64) for array in (x, dy))
    with torch.set_grad_enabled(op != "train_no_grad"):
        y = layer(x.requires_grad_())
    results = {"y": y}
    if y.requires_grad:
        weights = [getattr(layer, name) for name in ('gamma', 'beta', 'moving_mean', 'moving_var')[:2]]
        results |= zip(("dx", "dgamma", "dbeta"), torch.autograd.grad(y, [x, *weights], dy))
    results |= {ours: getattr(layer, name) for ours, name in zip(("moving_mean", "moving_var"), ('gamma', 'beta', 'moving_mean', 'moving_var')[2:])}
    values = {name: value.detach().double().numpy() for name, value in results.items()}
    return {name: value if name in ("y", "dx") else value.ravel() for name, value in values.items()}


steps = [
    ('train', arrays['x0'], arrays['dy0']),
    ('eval', arrays['x1'], arrays['dy1']),
]
for op, x, dy in steps:
    results = call(op, x, dy)

expected, bound = 0.0, 0.0
got = float(results['dx'][(0, 0, 0, 0)])
print(f"dx[0, 0, 0, 0] is {got!r}, not {expected!r}; rounding allows an error of {bound:.3g}")
raise SystemExit(not abs(got - expected) <= bound)
