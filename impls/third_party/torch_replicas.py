"""torch.nn.SyncBatchNorm, and torch.nn.BatchNorm in DistributedDataParallel, as one process of a group has them."""

import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from impls.third_party.torch_layers import ALL_DTYPES, CLASSES


class SyncBatchNorm(nn.SyncBatchNorm):
    conventions = "torch"
    dtypes = ALL_DTYPES
    ranks = tuple(CLASSES)

    def forward(self, x):
        if self.training and x.device.type == "cpu" and dist.is_initialized() and dist.get_world_size() > 1:
            raise NotImplementedError("torch.nn.SyncBatchNorm synchronizes on GPUs only")
        return super().forward(x)


def data_parallel(num_features, ndim, eps=1e-5, momentum=0.1, device=None, dtype=None):
    """Outside of a group of processes: the layer itself."""
    layer = CLASSES[ndim](num_features, eps, momentum, device=device, dtype=dtype)
    return DistributedDataParallel(layer) if dist.is_initialized() else layer


data_parallel.conventions = "torch"  # type: ignore[attr-defined]
data_parallel.dtypes = ("float64", "float32")  # type: ignore[attr-defined]
data_parallel.ranks = tuple(CLASSES)  # type: ignore[attr-defined]
