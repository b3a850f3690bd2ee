"""Keras' BatchNormalization on its tensorflow backend, which must be chosen before Keras is imported."""

import os

os.environ["KERAS_BACKEND"] = "tensorflow"

from keras.layers import BatchNormalization

__all__ = ["BatchNormalization"]
