"""sonnet.BatchNorm (Sonnet 2, on TensorFlow): moving averages from zero, debiased. Rank 4 takes the fused kernel.

float32 only: the fused kernel takes no float64, and the layer does not ask.
"""

import sonnet as snt
import tensorflow as tf


class SonnetBatchNorm:
    conventions = {
        "preset": "keras",
        "debias": True,
        "single_value": "any",
        "default_eps": 1e-5,
        "default_momentum": 0.999,
    }
    dtypes = ("float32",)
    ranks = (2, 3, 4, 5)

    def __init__(self, setup):
        given = {"eps": setup.eps, "decay_rate": setup.momentum}
        given = {name: value for name, value in given.items() if value is not None}
        self.layer = snt.BatchNorm(create_scale=True, create_offset=True, **given)
        self.layer(tf.zeros((2,) * (setup.ndim - 1) + (setup.num_features,), setup.dtype), is_training=False)
        self._set(self.layer.scale, setup.gamma)
        self._set(self.layer.offset, setup.beta)
        for average, start in (
            (self.layer.moving_mean, setup.moving_mean),
            (self.layer.moving_variance, setup.moving_var),
        ):
            self._set(average._hidden, start)
            self._set(average.average, start)

    def train(self, x, dy):
        return self._step(x, dy, True)

    def eval(self, x, dy):
        return self._step(x, dy, False)

    def stats(self):
        return {
            "moving_mean": self.layer.moving_mean.value.numpy().ravel(),
            "moving_var": self.layer.moving_variance.value.numpy().ravel(),
        }

    def _set(self, variable, array):
        variable.assign(array.reshape(variable.shape))

    def _step(self, x, dy, training):
        x = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = self.layer(x, is_training=training)
        dx, dgamma, dbeta = tape.gradient(y, [x, self.layer.scale, self.layer.offset], output_gradients=tf.constant(dy))
        return {"y": y.numpy(), "dx": dx.numpy(), "dgamma": dgamma.numpy().ravel(), "dbeta": dbeta.numpy().ravel()}
