"""Keras' BatchNormalization on its torch backend, which must be chosen before Keras is imported."""

import os

os.environ["KERAS_BACKEND"] = "torch"

from keras.layers import BatchNormalization

__all__ = ["BatchNormalization"]
