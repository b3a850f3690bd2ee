"""Keras' BatchNormalization on its jax backend, which must be chosen before Keras is imported."""

import os

os.environ["KERAS_BACKEND"] = "jax"

from keras.layers import BatchNormalization

__all__ = ["BatchNormalization"]
