"""tf_keras' BatchNormalization: Keras 2, kept alive beside Keras 3. A rank 4 float32 layer takes the fused kernel."""

import tensorflow as tf
import tf_keras

from impls.third_party.tensorflow_twice import TwiceDifferentiable

NAMES = ("gamma", "beta", "moving_mean", "moving_variance")


class TfKerasBatchNorm(TwiceDifferentiable):
    conventions = {"preset": "keras", "single_value": "any"}
    dtypes = ("float64", "float32")
    ranks = (2, 3, 4, 5)
    options = ("no_gamma", "no_beta")

    def __init__(self, setup):
        given = {"epsilon": setup.eps, "momentum": setup.momentum}
        given = {name: value for name, value in given.items() if value is not None}
        has = {"scale": setup.gamma is not None, "center": setup.beta is not None}
        self.layer = tf_keras.layers.BatchNormalization(dtype=setup.dtype, **given, **has)
        self.layer.build((None,) * (setup.ndim - 1) + (setup.num_features,))
        arrays = (setup.gamma, setup.beta, setup.moving_mean, setup.moving_var)
        for name, array in zip(NAMES, arrays, strict=True):
            if array is not None:
                getattr(self.layer, name).assign(array)

    def train(self, x, dy):
        self.layer.trainable = True
        return self._step(x, dy, True)

    def frozen(self, x, dy):
        """`trainable = False`, which stays when the model switches modes."""
        self.layer.trainable = False
        return self._step(x, dy, True)

    def eval(self, x, dy):
        return self._step(x, dy, False)

    def stats(self):
        return {"moving_mean": self.layer.moving_mean.numpy(), "moving_var": self.layer.moving_variance.numpy()}

    def forward(self, x, training):
        return self.layer(x, training=training)

    def variables(self):
        return self.layer.gamma, self.layer.beta

    def _step(self, x, dy, training):
        x = tf.constant(x)
        parameters = {"dgamma": self.layer.gamma, "dbeta": self.layer.beta}
        parameters = {name: variable for name, variable in parameters.items() if variable is not None}
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = self.forward(x, training)
        arrays = (y, *tape.gradient(y, [x, *parameters.values()], output_gradients=tf.constant(dy)))
        named = dict(zip(("y", "dx", *parameters), arrays, strict=True))
        return {name: array.numpy() for name, array in named.items() if array is not None}
