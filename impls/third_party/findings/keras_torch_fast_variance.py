# targets: keras-torch
# title: on torch, a mean far from zero makes the float32 variance wrong or negative, and y NaN
# documented: not by the layer; the faster variance was chosen in keras-core pull request 866, which says so
import os

os.environ["KERAS_BACKEND"] = "torch"
import keras
import numpy as np

x = np.random.default_rng(1).normal(1e4, 1.0, (64, 8)).astype(np.float32)
y = keras.ops.convert_to_numpy(keras.layers.BatchNormalization(epsilon=1e-5)(x, training=True))
print(f"FINDING of 8 normalized channels, standard deviations are {np.round(y.std(axis=0), 2).tolist()}, not 1")
assert not (abs(y.std(axis=0) - 1) < 0.1).all()
