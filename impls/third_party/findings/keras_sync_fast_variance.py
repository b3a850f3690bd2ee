# targets: keras-tensorflow
# title: with synchronized=True, and not without it, the variance is E[x^2] - E[x]^2 and cancels at a large mean
# documented: not found
import os

os.environ["KERAS_BACKEND"] = "tensorflow"
import keras
import numpy as np
import tensorflow as tf

halves = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], halves)
x = np.random.default_rng(0).normal(1e4, 1.0, (64, 1)).astype(np.float32)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
variance = {}
for synchronized in (False, True):
    with strategy.scope():
        layer = keras.layers.BatchNormalization(momentum=0.0, synchronized=synchronized)
        layer.build((None, 1))
    strategy.run(lambda layer=layer: layer(tf.constant(x), training=True))
    variance[synchronized] = float(layer.get_weights()[3][0])
right = x.astype(np.float64).var()
assert abs(variance[False] / right - 1) < 1e-4 < 0.1 < abs(variance[True] / right - 1)
print(f"FINDING the variance is {right:.4g}; synchronized it is {variance[True]:.4g}, else {variance[False]:.4g}")
