"""A batch norm for prediction, folded into the convolution or dense layer before it: no layer is left of it.

    y = gamma (z - mean) r + beta,  z = sum_k x_k w_k + b      becomes      y = sum_k x_k w'_k + b'
    w' = w (gamma r),  b' = (b - mean) (gamma r) + beta,        r = 1/sqrt(var + eps), as the conventions have it

Jacob et al. 2018, "Quantization and training of neural networks for efficient integer-arithmetic-only inference",
section 3.2. It rounds more than the batch norm: b' cancels where b is near the mean. ERROR_BOUNDS.md, section 18.
"""

from __future__ import annotations

import numpy as np

from reference.batch_norm import BatchNorm


def fold(
    weight: np.ndarray, bias: np.ndarray | None, layer: BatchNorm, output_axis: int = 0, groups: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """(w', b') of a convolution or dense layer whose C outputs `layer` normalizes, in the dtype of the two together.

    weight: its outputs at `output_axis`: (C, K) or (C, K, height, width) at 0, (K, C) or (height, width, K, C) at -1,
    (K, C, height, width) of a transposed convolution at 1. bias: (C,), or None. groups: those of a transposed
    convolution whose weight is (K, C/groups, ...); any other one has all its outputs on one axis, groups or not.
    Fold again after training and after loading. Raises ValueError where weight has another number of outputs.
    """
    scale = layer.gamma * layer.inverse_std(layer.moving_var)  # (C,)
    shift = -layer.moving_mean if bias is None else bias - layer.moving_mean  # (C,)
    return weight * for_each_output(scale, weight.shape, output_axis, groups), shift * scale + layer.beta


def for_each_output(scale: np.ndarray, shape: tuple[int, ...], output_axis: int, groups: int) -> np.ndarray:
    """scale (C,) in a shape that broadcasts against a weight of `shape`."""
    if shape[output_axis] * groups != len(scale):
        raise ValueError(
            f"a batch norm of {len(scale)} channels is folded into as many outputs; the weight of shape {shape} has "
            f"{shape[output_axis]} on axis {output_axis}, in {groups} group(s)"
        )
    sizes = [1] * len(shape)
    sizes[output_axis] = shape[output_axis]
    if groups > 1:  # the inputs, on axis 0, lie group by group
        sizes[0] = shape[0]
        scale = np.repeat(scale.reshape(groups, -1), shape[0] // groups, axis=0)  # (K, C/groups)
    return scale.reshape(sizes)
