# targets: keras-jax
# title: a layer of dtype float64 computes in float32 on the JAX backend, with jax_enable_x64
# documented: not found in its API page or its issues
import os

os.environ["KERAS_BACKEND"] = "jax"
import jax
import keras
import numpy as np

jax.config.update("jax_enable_x64", True)
x = np.random.default_rng(0).normal(size=(8, 3))
y = keras.layers.BatchNormalization(epsilon=1e-5, dtype="float64")(x, training=True)
y = keras.ops.convert_to_numpy(y)
error = abs(y - (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5)).max()
assert y.dtype == np.float64
assert error > 1e-9
print(f"FINDING y is {y.dtype} and errs by {error:.2g}: float32's precision")
