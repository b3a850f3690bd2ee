"""LeNet's 5x5 convolution without padding, in PyTorch: its own on a CPU, a Triton kernel on a GPU.

On a GPU PyTorch's took half of a training step: cuDNN's kernels, held to full float32 and to one order of sums, leave
most of the chip idle where there are one and six channels.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import conv2d

from impls.pytorch.triton_choice import has_triton

MOST = 1 << 31
"""Values of x or y, from which their offsets no longer fit 32 bits."""


def convolution(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x (N, C, H, W), weight (K, C, 5, 5), bias (K,) -> (N, K, H-4, W-4)."""
    if x.is_cuda and bias is not None and max(x.numel(), x.numel() // x.shape[1] * len(weight)) < MOST and has_triton():
        from impls.pytorch import triton_convolution  # only where Triton is

        return triton_convolution.Convolution.apply(x, weight, bias)
    return conv2d(x, weight, bias)
