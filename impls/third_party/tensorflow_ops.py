"""TensorFlow's fused kernel, and its moments with its batch_normalization: tensorflow-fused, -xla, -moments."""

import numpy as np
import tensorflow as tf

from impls.third_party.tensorflow_twice import TwiceDifferentiable


class Fused(TwiceDifferentiable):
    conventions = {"preset": "torch", "channel_axis": -1, "single_value": "any"}
    dtypes: tuple[str, ...] = ("float32", "bfloat16", "float16")
    ranks: tuple[int, ...] = (4,)
    transformed_as = "tensorflow"

    def __init__(self, setup):
        self.eps = 1e-4 if setup.eps is None else setup.eps
        self.momentum = 1.0 if setup.momentum is None else setup.momentum
        self.gamma, self.beta, self.mean, self.var = (
            tf.constant(a) for a in (setup.gamma, setup.beta, setup.moving_mean, setup.moving_var)
        )

    def train(self, x, dy):
        return self._step(x, dy, True)

    def eval(self, x, dy):
        return self._step(x, dy, False)

    def stats(self):
        return {"moving_mean": self.mean.numpy(), "moving_var": self.var.numpy()}

    def _step(self, x, dy, training):
        x, dy = tf.constant(x), tf.constant(dy)
        with tf.GradientTape() as tape:
            tape.watch([x, self.gamma, self.beta])
            y = self.forward(x, training)
        gradients = tape.gradient(y, [x, self.gamma, self.beta], output_gradients=dy)
        return {name: a.numpy() for name, a in zip(("y", "dx", "dgamma", "dbeta"), (y, *gradients), strict=True)}

    def variables(self):
        return self.gamma, self.beta

    def forward(self, x, training):
        out = fused(x, self.gamma, self.beta, self.mean, self.var, self.eps, self.momentum, training)
        if training:
            self.mean, self.var = out.batch_mean, out.batch_variance
        return out.y


def fused(x, gamma, beta, mean, var, eps, momentum, training):
    return tf.raw_ops.FusedBatchNormV3(
        x=x, scale=gamma, offset=beta, mean=mean, variance=var, epsilon=eps,
        exponential_avg_factor=momentum if training else 1.0, is_training=training,
    )  # fmt: skip


class Xla(Fused):
    """The fused kernel's operator compiled by XLA, which has an arithmetic of its own for it."""

    dtypes = ("float32", "bfloat16")  # each dtype and shape is compiled anew
    transformed_as = ""

    def _step(self, x, dy, training):
        arrays = tf.constant(x), tf.constant(dy), self.gamma, self.beta, self.mean, self.var
        *results, mean, var = by_xla(*arrays, self.eps, self.momentum, training)
        if training:
            self.mean, self.var = mean, var
        return {name: a.numpy() for name, a in zip(("y", "dx", "dgamma", "dbeta"), results, strict=True)}


@tf.function(jit_compile=True, reduce_retracing=False)
def by_xla(x, dy, gamma, beta, mean, var, eps, momentum, training):
    with tf.GradientTape() as tape:
        tape.watch([x, gamma, beta])
        out = fused(x, gamma, beta, mean, var, eps, momentum, training)
    gradients = tape.gradient(out.y, [x, gamma, beta], output_gradients=dy)
    return out.y, *gradients, out.batch_mean, out.batch_variance


class Moments(Fused):
    """The moving average is ours: the two functions are all that TensorFlow brings."""

    conventions = {"preset": "keras", "single_value": "zero"}
    dtypes = ("float64", "float32")
    ranks = (2, 3, 4, 5)

    def __init__(self, setup):
        if setup.eps is None or setup.momentum is None:
            raise ValueError("neither function has a default for them")
        super().__init__(setup)

    def forward(self, x, training):
        mean, var = self.mean, self.var
        if training:
            mean, var = tf.nn.moments(x, list(range(len(x.shape) - 1)))
            keep, new = np.asarray([self.momentum, 1 - self.momentum], x.dtype.as_numpy_dtype)
            self.mean, self.var = keep * self.mean + new * mean, keep * self.var + new * var
        return tf.nn.batch_normalization(x, mean, var, self.beta, self.gamma, self.eps)
