# targets: keras-tensorflow, tensorflow-moments, tf-keras, sonnet
# title: second derivatives of training by x are wrong: tf.nn.moments takes the mean for a constant inside the variance
# documented: its code says "the gradient is zero" of its stop_gradient (tensorflow#19609), true of first derivatives
import numpy as np
import tensorflow as tf

x, step = tf.constant([[1.0], [2.0], [4.0]], tf.float64), 1e-6


def slope(x):
    with tf.GradientTape() as tape:
        tape.watch(x)
        mean, var = tf.nn.moments(x, [0])
        y = (x[0] - mean) / tf.sqrt(var + 1e-3)
    return tape.gradient(y, x)


with tf.GradientTape() as tape:
    tape.watch(x)
    first = slope(x)[0]
second = tape.gradient(first, x).numpy().ravel()
moved = np.eye(3)[:, :, None] * step
differences = np.array([slope(x + by)[0, 0] - slope(x - by)[0, 0] for by in moved]) / (2 * step)
assert abs(second - differences).max() > 0.05
print(f"FINDING d2 y0/dx0 dx is {second.round(4)}, by finite differences {differences.round(4)}")
