# targets: keras-tensorflow
# title: under a mask, mean and variance are divided by the number of elements that count plus 1e-7
# documented: not found in its API page or its issues
import os

os.environ["KERAS_BACKEND"] = "tensorflow"
import keras
import numpy as np

x, mask = np.array([[[3.0], [5.0], [1.0]]]), np.array([[True, False, False]])
layer = keras.layers.BatchNormalization(momentum=0.0, dtype="float64")
y = layer(x, training=True, mask=keras.ops.convert_to_tensor(mask))
(mean,) = np.array(layer.moving_mean)
assert mean == 3 / (1 + 1e-7) != 3
print(f"FINDING the mean of 3 alone is {mean!r}, and y there is {np.array(y)[0, 0, 0]:.2g}, not 0")
