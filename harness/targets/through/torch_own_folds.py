"""Our own `fold`, of a layer of ours into a convolution or dense layer of torch."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from harness.targets.through import mixing
from harness.targets.through.mixing import Mixing
from harness.targets.through.torch_convolutions import (
    computed_in,
    convolution,
    convolved,
    dense,
    inputs,
    multiplied,
    transposed,
)
from harness.targets.wrap.torch_module import TorchModule
from impls.pytorch import fold as ours
from impls.pytorch.batch_norm import BatchNorm


def fold(adapter: TorchModule, x: Tensor, training: bool) -> Tensor:  # noqa: ARG001 - prediction only
    """Into a 1x1 convolution that reverses the channels."""
    return _convolved(adapter, x, mixing.reversing)


def fold_grouped(adapter: TorchModule, x: Tensor, training: bool) -> Tensor:  # noqa: ARG001
    """Into a 1x1 convolution in groups of several channels, which it reverses."""
    return _convolved(adapter, x, mixing.reversing_in_groups)


def fold_transposed(adapter: TorchModule, x: Tensor, training: bool) -> Tensor:  # noqa: ARG001
    """Into a transposed 1x1 convolution."""
    return _convolved(adapter, x, mixing.reversing, transpose=True)


def fold_transposed_grouped(adapter: TorchModule, x: Tensor, training: bool) -> Tensor:  # noqa: ARG001
    """Into a transposed 1x1 convolution in groups of several channels."""
    return _convolved(adapter, x, mixing.reversing_in_groups, transpose=True)


def fold_dense(adapter: TorchModule, x: Tensor, training: bool) -> Tensor:  # noqa: ARG001
    """Into a product that reverses the channels, which come last in it."""
    norm = _constants(adapter, x)
    first = x.movedim(norm.conventions.channel_axis, 1)  # channels on axis 1
    mixed = mixing.reversing(norm.num_features)
    y = multiplied(_folded(dense(first, mixed), norm), inputs(first, mixed))
    return y.movedim(1, norm.conventions.channel_axis)


def _convolved(adapter: TorchModule, x: Tensor, how: Any, *, transpose: bool = False) -> Tensor:
    norm = _constants(adapter, x)
    first = x.movedim(norm.conventions.channel_axis, 1)  # channels on axis 1
    mixed: Mixing = how(norm.num_features)
    module = (transposed if transpose else convolution)(first, mixed)
    given = {"output_axis": 1, "groups": mixed.groups} if transpose else {}
    y = convolved(_folded(module, norm, **given), inputs(first, mixed))
    return y.movedim(1, norm.conventions.channel_axis)


def _folded(module: Any, norm: BatchNorm, **given: int) -> Any:
    weight, bias = ours.fold(module.weight, module.bias, norm, **given)
    module.weight, module.bias = nn.Parameter(weight), nn.Parameter(bias)
    return module


def _constants(adapter: TorchModule, x: Tensor) -> BatchNorm:
    """A copy of the layer. Raises NotImplementedError for what our own `fold` does not take."""
    layer: Any = adapter.layer
    if not isinstance(layer, BatchNorm):
        raise NotImplementedError(f"`fold` takes our own batch norm, not {type(layer).__name__}")
    if layer.gamma is None or layer.beta is None or not getattr(layer, "keeps_statistics", True):
        raise NotImplementedError("`fold` takes a layer with gamma, beta and moving statistics")
    torch.backends.cudnn.allow_tf32 = False  # in the backward pass too: products in 10 bits are not the fold's doing
    return copy.deepcopy(layer).to(computed_in(x)).eval()
