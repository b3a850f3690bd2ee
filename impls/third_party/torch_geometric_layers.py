"""torch_geometric.nn.BatchNorm, and HeteroBatchNorm, which normalizes each type of nodes by itself: here of one."""

import torch
from torch_geometric.nn import BatchNorm, HeteroBatchNorm


def batch_norm(in_channels, eps=1e-5, momentum=0.1):
    return BatchNorm(in_channels, eps, momentum, allow_single_element=True)


batch_norm.conventions = {"preset": "torch", "single_value": "any"}  # type: ignore[attr-defined]
batch_norm.ranks = (2,)  # type: ignore[attr-defined]
batch_norm.dtypes = ("float64", "float32", "bfloat16", "float16")  # type: ignore[attr-defined]


class OfOneType(HeteroBatchNorm):
    conventions = {"preset": "torch", "moving_var": "biased", "single_value": "any"}
    ranks = (2,)
    dtypes = ("float64", "float32")

    def __init__(self, in_channels, eps=1e-5, momentum=0.1):
        super().__init__(in_channels, 1, eps, momentum)

    def forward(self, x):
        return super().forward(x, torch.zeros(len(x), dtype=torch.long, device=x.device))
