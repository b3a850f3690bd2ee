"""A batch norm for prediction, folded into the convolution or dense layer before it: no layer is left of it.

y = gamma (z - mean) r + beta with z = sum_k x_k w_k + b becomes sum_k x_k w'_k + b', w' = w (gamma r) and
b' = (b - mean) (gamma r) + beta (Jacob et al. 2018, section 3.2).
"""

from __future__ import annotations

import torch
from torch import Tensor

from impls.pytorch.batch_norm import BatchNorm
from impls.pytorch.scale import inverse_std


@torch.no_grad()
def fold(
    weight: Tensor, bias: Tensor | None, layer: BatchNorm, output_axis: int = 0, groups: int = 1
) -> tuple[Tensor, Tensor]:
    """(w', b') of a convolution or dense layer whose C outputs `layer` normalizes, in the dtype of the two together.

    weight: its outputs at `output_axis`: 0 in torch.nn.Linear and torch.nn.Conv2d, 1 in torch.nn.ConvTranspose2d.
    bias: (C,), or None. groups: those of a transposed convolution, whose weight is (K, C/groups, ...); any other one
    has all its outputs on one axis, groups or not. The results have no gradient. Fold again after training and after
    loading. Raises ValueError where weight has another number of outputs.
    """
    mean, var = layer.moving_statistics()  # (C,), (C,)
    scale = layer.gamma * inverse_std(var, layer.eps, layer.conventions)  # (C,)
    shift = -mean if bias is None else bias - mean  # (C,)
    return weight * for_each_output(scale, weight.shape, output_axis, groups), shift * scale + layer.beta


def for_each_output(scale: Tensor, shape: torch.Size, output_axis: int, groups: int) -> Tensor:
    """scale (C,) in a shape that broadcasts against a weight of `shape`."""
    if shape[output_axis] * groups != len(scale):
        raise ValueError(
            f"a batch norm of {len(scale)} channels is folded into as many outputs; the weight of shape {tuple(shape)} "
            f"has {shape[output_axis]} on axis {output_axis}, in {groups} group(s)"
        )
    sizes = [1] * len(shape)
    sizes[output_axis] = shape[output_axis]
    if groups > 1:  # the inputs, on axis 0, lie group by group
        sizes[0] = shape[0]
        scale = scale.reshape(groups, -1).repeat_interleave(shape[0] // groups, dim=0)  # (K, C/groups)
    return scale.reshape(sizes)
