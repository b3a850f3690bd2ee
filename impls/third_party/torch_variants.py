"""torch.nn.BatchNorm2d on channels_last memory, and compiled. bnproof wraps both: nothing but the variant is here."""

import torch
from torch import nn


class ChannelsLast(nn.BatchNorm2d):
    conventions = "torch"
    dtypes = ("float64", "float32", "bfloat16", "float16")

    def forward(self, x):
        return super().forward(x.contiguous(memory_format=torch.channels_last))


def compiled(num_features, eps=1e-5, momentum=0.1):
    return torch.compile(nn.BatchNorm2d(num_features, eps, momentum))


compiled.conventions = "torch"  # type: ignore[attr-defined]
compiled.dtypes = ("float32",)  # type: ignore[attr-defined]  # each dtype and shape is compiled anew
compiled.ranks = (4,)  # type: ignore[attr-defined]
