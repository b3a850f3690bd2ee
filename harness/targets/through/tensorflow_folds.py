"""What TensorFlow folds its own batch norms into, for prediction: a convolution of all channels.

As keras_folds.py, without Keras: the operators that a frozen graph has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from harness.targets.results import Members
from harness.targets.through import litert, tensorflow_graph
from harness.targets.through.mixing import must_be_finite, must_be_folded, reversing
from harness.targets.through.transformation import Transformation


def by_grappler(function: Any, shape: Any, x: np.ndarray, into: str) -> np.ndarray:
    """The optimizer that is behind tf.function, on its graph with the variables frozen."""
    y, operators = tensorflow_graph.optimized(function, shape, x)
    must_be_folded(operators, into, "Grappler")
    return y


def by_litert(function: Any, shape: Any, x: np.ndarray, into: str) -> np.ndarray:
    concrete = function.get_concrete_function(shape)
    return by_converter(tf.lite.TFLiteConverter.from_concrete_functions([concrete], function), x, into)


def by_converter(converter: Any, x: np.ndarray, into: str) -> np.ndarray:
    """y by LiteRT's interpreter. Raises NotImplementedError for what TensorFlow's converter to it does not take."""
    try:
        converted = converter.convert()
    except Exception as error:
        raise NotImplementedError(f"LiteRT's converter refuses {x.dtype.name}: {type(error).__name__}") from error
    y, operators = litert.run(converted, x)
    must_be_folded(operators, into, "LiteRT's converter")
    return y


BY: dict[str, Callable[..., np.ndarray]] = {"grappler": by_grappler, "litert": by_litert}


def predict(adapter: Any, x: np.ndarray, by: str) -> np.ndarray:
    """y of `adapter.forward` after a convolution. Raises NotImplementedError where nothing is folded."""
    must_be_finite(np.isfinite(x))
    mixing = reversing(x.shape[-1])
    places = (x if x.ndim > 2 else x[:, None])[..., list(mixing.order)]
    kernel = mixing.weight.T.reshape(*(1,) * (places.ndim - 2), *mixing.weight.T.shape)
    weight = tf.constant(kernel, x.dtype.name)
    function = tf.function(lambda x: adapter.forward(tf.nn.convolution(x, weight), False))
    shape = tf.TensorSpec((None, *places.shape[1:]), x.dtype.name)
    return BY[by](function, shape, np.ascontiguousarray(places), "a convolution").reshape(x.shape)


def members(transformation: Transformation) -> Members:
    """What a subclass of a layer of TensorFlow's functions has in place of its own."""
    by = transformation.name.rpartition("-")[2]
    return {"eval": lambda self, x, dy: {"y": predict(self, x, by)}, "folded": True}  # noqa: ARG005
