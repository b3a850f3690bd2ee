"""A batch norm for prediction, folded into the convolution or dense layer before it: no layer is left of it.

y = gamma (z - mean) r + beta with z = sum_k x_k w_k + b becomes sum_k x_k w'_k + b', w' = w (gamma r) and
b' = (b - mean) (gamma r) + beta (Jacob et al. 2018, section 3.2).
"""

from __future__ import annotations

import jax

from impls.jax_flax.batch_norm import BatchNorm
from impls.jax_flax.fast_batch_norm import inverse_std


def fold(
    weight: jax.Array, bias: jax.Array | None, layer: BatchNorm, output_axis: int = -1
) -> tuple[jax.Array, jax.Array]:
    """(w', b') of a convolution or dense layer whose C outputs `layer` normalizes, in the dtype of the two together.

    weight: its C outputs at `output_axis`, the last one in the kernels of flax, transposed and grouped ones included.
    bias: (C,), or None. Fold again after training and after loading. Raises ValueError where weight has another
    number of outputs.
    """
    mean, var = layer.moving_statistics()  # (C,), (C,)
    if weight.shape[output_axis] != len(mean):
        raise ValueError(
            f"a batch norm of {len(mean)} channels is folded into as many outputs; the weight of shape {weight.shape} "
            f"has {weight.shape[output_axis]} on axis {output_axis}"
        )
    scale = layer.gamma[...] * inverse_std(var, layer.eps, layer.conventions)  # (C,)
    shift = -mean if bias is None else bias - mean  # (C,)
    sizes = [1] * weight.ndim
    sizes[output_axis] = len(scale)
    return weight * scale.reshape(sizes), shift * scale + layer.beta[...]
