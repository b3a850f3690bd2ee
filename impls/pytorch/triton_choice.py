"""Whether a layer's call goes to the Triton kernels. What this imports is there without Triton."""

from __future__ import annotations

import importlib.util
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad


def suits_kernels(x: Tensor, layer: Any) -> bool:
    """Whether `layer`, a BatchNorm, computes this call by the Triton kernels: on CUDA wherever they can.

    They do not take empty batches, parameters of another dtype than that of the arithmetic, and calls that are traced
    or transformed (torch.compile, torch.export, functorch, forward-mode differentiation): those take plain operations,
    which PyTorch sees through. `layer.kernels` says otherwise: False never, True on other devices too.
    Raises RuntimeError where they are demanded and Triton is missing.
    """
    if layer.kernels is False or not (x.is_cuda or layer.kernels):
        return False
    if not has_triton():
        if layer.kernels:
            raise RuntimeError("the kernels were demanded, and Triton is not installed: pip install triton")
        return False
    moving_mean, dtype = layer._buffers["moving_mean"], x.dtype
    wide = torch.float64 if dtype is torch.float64 else torch.float32
    return (
        moving_mean.dtype is wide
        and layer.gamma.dtype is wide
        and dtype in DTYPES
        and x.device == moving_mean.device
        and x.numel() > 0
        and type(x) in PLAIN
        and not torch.compiler.is_compiling()
        and not torch._C._are_functorch_transforms_active()
        and forward_ad._current_level < 0
    )


DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
PLAIN = (Tensor, torch.nn.Parameter)
"""Not a subclass: a fake tensor, say, has no memory."""


@cache
def has_triton() -> bool:
    return importlib.util.find_spec("triton") is not None
