"""What TensorFlow folds a Keras batch norm into, for prediction: by LiteRT's converter, or by its graph optimizer.

The model has a convolution or dense layer and the batch norm after it. What it is folded into puts channels in
another order (mixing.py), of which the input is the reverse, so that what comes out is the batch norm's own y.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from harness.targets.results import Members
from harness.targets.through.mixing import Mixing, alone, must_be_finite, reversing, reversing_in_groups
from harness.targets.wrap.keras_layer import BACKEND, KerasLayer

LAYERS = keras.layers


@dataclass(frozen=True)
class KerasLinear:
    """The layer before the batch norm."""

    mixing: Callable[[int], Mixing]
    kinds: tuple[type, ...]
    """Of ranks 3, 4 and 5; a dense layer takes rows alone."""
    kernel: Callable[[Mixing], np.ndarray] = lambda mixing: mixing.weight.T
    """Its last two axes: (K/groups, C); those before are of length 1."""

    @property
    def is_dense(self) -> bool:
        return self.kinds == (LAYERS.Dense,)

    def layer(self, mixing: Mixing, rank: int, dtype: str) -> Any:
        """Raises NotImplementedError where Keras has none of that rank."""
        if self.is_dense:
            return LAYERS.Dense(len(mixing.weight), dtype=dtype)
        if rank - 3 >= len(self.kinds):
            raise NotImplementedError(f"Keras has no {self.kinds[-1].__name__} of rank {rank}")
        kind = self.kinds[rank - 3]
        if self.mixing is alone:
            return kind(1, dtype=dtype)
        groups = {"groups": mixing.groups} if mixing.groups > 1 else {}
        return kind(len(mixing.weight), 1, dtype=dtype, **groups)

    def weights(self, mixing: Mixing, rank: int) -> list[np.ndarray]:
        kernel = self.kernel(mixing)
        places = 0 if self.is_dense else rank - 2
        return [kernel.reshape(*(1,) * places, *kernel.shape), np.zeros(len(mixing.weight))]


CONVOLUTIONS = (LAYERS.Conv1D, LAYERS.Conv2D, LAYERS.Conv3D)
TRANSPOSED = (LAYERS.Conv1DTranspose, LAYERS.Conv2DTranspose, LAYERS.Conv3DTranspose)
LINEAR = {
    "fuse-conv": KerasLinear(reversing, CONVOLUTIONS),
    "fuse-grouped": KerasLinear(reversing_in_groups, CONVOLUTIONS),
    "fuse-transposed": KerasLinear(reversing, TRANSPOSED, lambda mixing: mixing.weight),
    "fuse-depthwise": KerasLinear(
        alone, (LAYERS.DepthwiseConv1D, LAYERS.DepthwiseConv2D), lambda mixing: mixing.weight
    ),
    "fuse-dense": KerasLinear(reversing, (LAYERS.Dense,)),
}


def predict(adapter: KerasLayer, x: np.ndarray, linear: KerasLinear, fold: Callable[..., np.ndarray]) -> np.ndarray:
    """y. Raises NotImplementedError for x that is not finite, for another backend, and where nothing is folded."""
    if BACKEND != "tensorflow":
        raise NotImplementedError(f"TensorFlow folds what Keras has on TensorFlow, not on {BACKEND}")
    must_be_finite(np.isfinite(x))
    mixing = linear.mixing(x.shape[-1])
    wide = x.astype("float64" if x.dtype == np.float64 else "float32")
    places = wide.reshape(-1, x.shape[-1]) if linear.is_dense else wide if x.ndim > 2 else wide[:, None]
    places = np.ascontiguousarray(places[..., list(mixing.order)])
    model = model_of(adapter, places, linear, mixing)
    return fold(model, places, linear.layer(mixing, places.ndim, "float32").__class__.__name__).reshape(x.shape)


def model_of(adapter: KerasLayer, x: np.ndarray, linear: KerasLinear, mixing: Mixing) -> Any:
    """x (N, ..., K) -> (N, ..., C), in x's dtype. The batch norm is a copy of the adapter's."""
    layer = linear.layer(mixing, x.ndim, x.dtype.name)
    norm = type(adapter.layer).from_config({**adapter.layer.get_config(), "dtype": x.dtype.name})
    inputs = keras.Input(batch_shape=(None, *x.shape[1:]), dtype=x.dtype.name)
    model = keras.Model(inputs, norm(layer(inputs)))
    layer.set_weights(linear.weights(mixing, x.ndim))
    norm.set_weights(adapter.layer.get_weights())
    return model


# --- by whom ---


def by_litert(model: Any, x: np.ndarray, into: str) -> np.ndarray:
    import tensorflow as tf

    from harness.targets.through import tensorflow_folds

    return tensorflow_folds.by_converter(tf.lite.TFLiteConverter.from_keras_model(model), x, into)


def by_grappler(model: Any, x: np.ndarray, into: str) -> np.ndarray:
    import tensorflow as tf

    from harness.targets.through import tensorflow_folds

    shape = tf.TensorSpec((None, *x.shape[1:]), x.dtype.name)
    return tensorflow_folds.by_grappler(tf.function(lambda x: model(x, training=False)), shape, x, into)


BY = {"litert": by_litert, "grappler": by_grappler}


def members(fold: str, by: str) -> Members:
    """What a subclass of KerasLayer has in place of its own."""

    def step(self: KerasLayer, x: np.ndarray, dy: np.ndarray, training: bool) -> dict[str, np.ndarray]:  # noqa: ARG001
        return {"y": predict(self, x, LINEAR[fold], BY[by]).astype(x.dtype)}

    return {"_step": step, "folded": True}
