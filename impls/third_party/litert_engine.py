"""tf.nn.batch_normalization as a model of LiteRT (TensorFlow Lite), whose converter makes a product and a sum of it."""

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

NAMES = ("moving_mean", "moving_var", "beta", "gamma")
"""In the order of TensorFlow's arguments."""


class LiteRt:
    conventions = {"preset": "keras", "single_value": "any"}
    dtypes = ("float32",)
    ranks = (2, 3, 4, 5)

    def __init__(self, setup):
        if setup.eps is None:
            raise NotImplementedError("TensorFlow's function has no default eps")
        self.arguments = (*(tf.constant(getattr(setup, name)) for name in NAMES), setup.eps)

    def eval(self, x, dy):  # noqa: ARG002 - no backward
        function = tf.function(lambda x: tf.nn.batch_normalization(x, *self.arguments))
        shaped = function.get_concrete_function(tf.TensorSpec(x.shape, tf.float32))
        model = tf.lite.TFLiteConverter.from_concrete_functions([shaped], function).convert()
        interpreter = Interpreter(model_content=model, num_threads=1)
        interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], np.ascontiguousarray(x))
        interpreter.invoke()
        return {"y": interpreter.get_tensor(interpreter.get_output_details()[0]["index"])}
