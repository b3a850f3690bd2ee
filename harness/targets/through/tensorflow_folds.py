"""What TensorFlow folds its own batch norms into, for prediction: a convolution of all channels.

As keras_folds.py, without Keras: the operators that a frozen graph has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from harness.targets.through import litert, tensorflow_graph
from harness.targets.through.mixing import must_be_finite, reversing
from harness.targets.through.transformation import Transformation


def by_grappler(function: Any, shape: Any, x: np.ndarray, into: str) -> np.ndarray:
    y, operators = tensorflow_graph.optimized(function, shape, x)
    tensorflow_graph.must_be_folded(operators, into)
    return y


def by_litert(function: Any, shape: Any, x: np.ndarray, into: str) -> np.ndarray:
    """Raises NotImplementedError for what LiteRT's converter does not take."""
    concrete = function.get_concrete_function(shape)
    try:
        converted = tf.lite.TFLiteConverter.from_concrete_functions([concrete], function).convert()
    except Exception as error:
        raise NotImplementedError(f"LiteRT's converter refuses {x.dtype.name}: {type(error).__name__}") from error
    y, operators = litert.run(converted, x)
    litert.must_be_folded(operators, into)
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


def members(transformation: Transformation) -> dict[str, Any]:
    """What a subclass of a layer of TensorFlow's functions has in place of its own."""
    by = transformation.name.rpartition("-")[2]
    return {"eval": lambda self, x, dy: {"y": predict(self, x, by)}, "folded": True}  # noqa: ARG005
