"""sonnet.BatchNorm (Sonnet 2, on TensorFlow): moving averages from zero, debiased. Rank 4 takes the fused kernel.

float32 only: the fused kernel takes no float64, and the layer does not ask.
"""

import sonnet as snt
import tensorflow as tf

from impls.third_party.tensorflow_twice import TwiceDifferentiable


class SonnetBatchNorm(TwiceDifferentiable):
    conventions = {
        "preset": "keras",
        "debias": True,
        "single_value": "any",
        "default_eps": 1e-5,
        "default_momentum": 0.999,
    }
    dtypes = ("float32",)
    ranks = (2, 3, 4, 5)
    options = ("no_gamma", "no_beta")

    def __init__(self, setup):
        given = {"eps": setup.eps, "decay_rate": setup.momentum}
        given = {name: value for name, value in given.items() if value is not None}
        has = {"create_scale": setup.gamma is not None, "create_offset": setup.beta is not None}
        self.layer = snt.BatchNorm(**has, **given)
        self.layer(tf.zeros((2,) * (setup.ndim - 1) + (setup.num_features,), setup.dtype), is_training=False)
        self.parameters = {}
        for name, theirs, array in (("dgamma", "scale", setup.gamma), ("dbeta", "offset", setup.beta)):
            if array is not None:
                self.parameters[name] = getattr(self.layer, theirs)
                self._set(self.parameters[name], array)
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

    def frozen(self, x, dy):
        """In a model that trains, called with `is_training=False`."""
        return self._step(x, dy, False)

    def stats(self):
        return {
            "moving_mean": self.layer.moving_mean.value.numpy().ravel(),
            "moving_var": self.layer.moving_variance.value.numpy().ravel(),
        }

    def forward(self, x, training):
        return self.layer(x, is_training=training)

    def variables(self):
        return self.layer.scale, self.layer.offset

    def _set(self, variable, array):
        variable.assign(array.reshape(variable.shape))

    def _step(self, x, dy, training):
        x = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = self.forward(x, training)
        inputs = {"dx": x, **self.parameters}
        gradients = tape.gradient(y, [*inputs.values()], output_gradients=tf.constant(dy))
        values = {"y": y.numpy()} | {name: a.numpy() for name, a in zip(inputs, gradients, strict=True)}
        return {name: value if name in ("y", "dx") else value.ravel() for name, value in values.items()}
