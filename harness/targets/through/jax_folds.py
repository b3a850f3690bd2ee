"""Our own `fold` of our function and nnx module: into convolutions and dense layers as flax has them."""

from __future__ import annotations

import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from harness.targets.results import Members
from harness.targets.through.mixing import Mixing, must_be_finite, reversing, reversing_in_groups
from harness.targets.wrap.function import Function
from harness.targets.wrap.jax_array import jax_array
from impls.jax_flax import fold as ours
from impls.jax_flax.batch_norm import BatchNorm, batch_norm

MIXING = {
    "fold": reversing,
    "fold-grouped": reversing_in_groups,
    "fold-transposed": reversing,
    "fold-dense": reversing,
}
EXACT = jax.lax.Precision.HIGHEST
"""Products in fewer bits, which accelerators take otherwise, are not the fold's doing."""


def layer_of(adapter: Any) -> BatchNorm:
    """Our module, or one with the arrays of our function. Raises NotImplementedError for what `fold` does not take."""
    if not isinstance(adapter, Function):
        layer = adapter.layer
        if not isinstance(layer, BatchNorm):
            raise NotImplementedError(f"`fold` takes our own batch norm, not {type(layer).__name__}")
        if layer.gamma is None or layer.beta is None or layer.moving_mean is None:
            raise NotImplementedError("`fold` takes a layer with gamma, beta and moving statistics")
        return layer
    if inspect.unwrap(adapter.target) is not batch_norm:
        raise NotImplementedError("`fold` takes our own batch norm, not another function")
    arrays, numbers = adapter.arrays, adapter.numbers
    dtype = arrays["gamma"].dtype
    made = BatchNorm(len(arrays["gamma"]), numbers.get("eps"), numbers.get("momentum"), dtype=dtype)
    for name, array in arrays.items():
        getattr(made, name)[...] = array
    return made


def kernel(name: str, mixing: Mixing, rank: int) -> np.ndarray:
    """(1, ..., K/groups, C), dense (K, C): outputs come last, transposed or not."""
    sizes = () if name == "fold-dense" else (1,) * max(rank - 2, 1)
    return mixing.weight.T.reshape(*sizes, *mixing.weight.T.shape)


def product(name: str, x: jax.Array, weight: jax.Array, groups: int) -> jax.Array:
    """(N, ..., C) of x (N, ..., K)."""
    if name == "fold-dense":
        return jnp.matmul(x, weight, precision=EXACT)
    wide = x[:, None] if x.ndim == 2 else x
    ones, letters = (1,) * (wide.ndim - 2), "DHW"[5 - wide.ndim :]
    dimensions = (f"N{letters}C", f"{letters}IO", f"N{letters}C")
    if name == "fold-transposed":
        y = jax.lax.conv_transpose(wide, weight, ones, "VALID", dimension_numbers=dimensions, precision=EXACT)
    else:
        y = jax.lax.conv_general_dilated(
            wide, weight, ones, "VALID", dimension_numbers=dimensions, feature_group_count=groups, precision=EXACT
        )
    return y[:, 0] if x.ndim == 2 else y


def predict(name: str, adapter: Any, x: np.ndarray, dy: np.ndarray) -> dict[str, np.ndarray]:
    """y and dx of the folded layer. Raises NotImplementedError for x that is not finite."""
    must_be_finite(np.isfinite(x.astype(np.float64)))
    layer = layer_of(adapter)
    mixing, axis = MIXING[name](layer.num_features), layer.conventions.channel_axis
    dtype = layer.gamma[...].dtype
    weight, bias = ours.fold(
        jnp.asarray(kernel(name, mixing, x.ndim), dtype), jnp.zeros(layer.num_features, dtype), layer
    )
    order = jnp.asarray(mixing.order)

    def forward(x: jax.Array) -> jax.Array:
        inputs = jnp.moveaxis(x, axis, -1)[..., order].astype(dtype)
        y = product(name, inputs, weight, mixing.groups) + bias
        return jnp.moveaxis(y, -1, axis).astype(x.dtype)

    y, backward = jax.vjp(forward, jax_array(x))
    return {"y": np.asarray(y), "dx": np.asarray(backward(jax_array(dy))[0])}


def members(name: str) -> Members:
    """What a subclass of the adapter has in place of its own."""
    return {"eval": lambda self, x, dy: predict(name, self, x, dy), "folded": True}
