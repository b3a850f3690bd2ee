"""A Keras layer that is right as it is called, and wrong once it is exported."""

import keras


def is_traced(x):
    """Whether a backend traces, as an export does."""
    if keras.config.backend() == "torch":
        import torch

        return torch.compiler.is_exporting() or torch.jit.is_tracing()  # ONNX of the older kind is traced
    if keras.config.backend() == "jax":
        import jax

        return isinstance(x, jax.core.Tracer)
    import tensorflow as tf

    return not tf.executing_eagerly()


class BatchNormalization(keras.layers.BatchNormalization):
    """Keras' own, which says of itself what it takes: nothing need be tried."""

    conventions = "keras"
    dtypes = ("float32",)
    ranks = (4,)


class OtherWhenTraced(BatchNormalization):
    """In prediction it is off by one as soon as it is traced."""

    def call(self, inputs, training=None, mask=None):
        y = super().call(inputs, training=training, mask=mask)
        return y + 1 if is_traced(inputs) and not training else y
