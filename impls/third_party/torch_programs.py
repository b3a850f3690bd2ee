"""torch.nn.BatchNorm2d in other ways: TorchScript, torch.export, decompositions, oneDNN, folded into a convolution."""

import functools
import warnings
from typing import Any

import torch
from torch import nn
from torch.nn.functional import batch_norm as normalized
from torch.nn.functional import conv2d
from torch.nn.utils.fusion import fuse_conv_bn_weights

from impls.third_party.torch_layers import ALL_DTYPES, CLASSES, PredictsAlone, batch_norm, compiled


def scripted(num_features, ndim, eps=None, momentum=None):
    """TorchScript, which torch calls deprecated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return torch.jit.script(batch_norm(num_features, ndim, eps, momentum))


scripted.conventions = "torch"  # type: ignore[attr-defined]
scripted.dtypes = ALL_DTYPES  # type: ignore[attr-defined]
scripted.ranks = tuple(CLASSES)  # type: ignore[attr-defined]


class Exported(nn.BatchNorm2d):
    """torch.export's program for each mode and shape, its statistics mutated as inputs."""

    conventions = "torch"
    dtypes = ("float32", "float64")  # each dtype and shape is exported anew

    def forward(self, x):
        arrays = x, self.running_mean, self.running_var, self.weight, self.bias
        if self.momentum is None or any(array is None for array in arrays):
            raise NotImplementedError("exported is the layer with all its arrays, and with a momentum")
        program = exported(self.training, self.momentum, self.eps, x.shape, x.dtype, x.device)
        return program(*arrays)


class Functional(nn.Module):
    def __init__(self, *settings):
        super().__init__()
        self.settings = settings

    def forward(self, x, running_mean, running_var, weight, bias):
        return normalized(x, running_mean, running_var, weight, bias, *self.settings)


@functools.lru_cache(maxsize=64)
def exported(training, momentum, eps, shape, dtype, device):
    x, *channels = (torch.ones(size, dtype=dtype, device=device) for size in (shape, *4 * (shape[1:2],)))
    return torch.export.export(Functional(training, momentum, eps), (x, *channels)).module()


def decomposed(num_features, eps=1e-5, momentum=0.1):
    """The operators into which torch.compile takes it apart, forward and backward, run one by one."""
    return compiled(num_features, eps, momentum, "aot_eager_decomp_partition")


decomposed.conventions = "torch"  # type: ignore[attr-defined]
decomposed.dtypes = ("float32", "bfloat16")  # type: ignore[attr-defined]  # each shape is taken apart anew
decomposed.ranks = (4,)  # type: ignore[attr-defined]


class Mkldnn(nn.BatchNorm2d):
    """oneDNN's kernel, on a tensor of its own layout. In prediction it has no backward."""

    conventions = "torch"
    dtypes = ("float32",)

    def forward(self, x):
        if self.weight is None or self.bias is None:
            raise NotImplementedError("oneDNN's kernel takes gamma and beta")
        y = super().forward(x.to_mkldnn()).to_dense()
        return y if self.training else y.detach()


class Folded(PredictsAlone):
    """Folded into a convolution that does nothing, as for deployment."""

    folded = True

    def forward(self, x):
        if self.running_mean is None:
            raise NotImplementedError("only constants can be folded: without statistics there are none")
        ones = torch.ones(self.num_features, 1, 1, 1, dtype=x.dtype, device=x.device)
        fold: Any = fuse_conv_bn_weights
        kernel, bias = fold(ones, None, self.running_mean, self.running_var, self.eps, self.weight, self.bias)
        return conv2d(x, kernel, bias, groups=self.num_features)
