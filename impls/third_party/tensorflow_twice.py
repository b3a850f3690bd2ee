"""Forward mode and second derivatives of a layer on TensorFlow: a ForwardAccumulator, and a tape around a tape."""

from abc import abstractmethod

import tensorflow as tf


class TwiceDifferentiable:
    """What an adapter adds to the contract by its layer and the variables that it holds."""

    @abstractmethod
    def forward(self, x, training):
        """y of the layer."""

    @abstractmethod
    def variables(self):
        """gamma and beta as the layer holds them, in any shape of C values."""

    def train_jvp(self, x, *tangents):
        return self._tangent(x, tangents, True)

    def eval_jvp(self, x, *tangents):
        return self._tangent(x, tangents, False)

    def train_double(self, x, dy, *directions):
        return self._twice(x, dy, directions, True)

    def eval_double(self, x, dy, *directions):
        return self._twice(x, dy, directions, False)

    def _tangent(self, x, tangents, training):
        x, variables = tf.constant(x), self.variables()
        with tf.autodiff.ForwardAccumulator((x, *variables), self._shaped(tangents)) as accumulator:
            y = self.forward(x, training)
        return {"ty": accumulator.jvp(y).numpy()}

    def _twice(self, x, dy, directions, training):
        x, dy, (gamma, beta) = tf.constant(x), tf.constant(dy), self.variables()
        with tf.GradientTape() as outer:
            outer.watch((x, dy, gamma))
            with tf.GradientTape() as inner:
                inner.watch((x, gamma, beta))
                y = self.forward(x, training)
            first = inner.gradient(y, (x, gamma, beta), output_gradients=dy)
        zero = tf.UnconnectedGradients.ZERO
        try:
            second = outer.gradient(
                first, (x, dy, gamma), output_gradients=self._shaped(directions), unconnected_gradients=zero
            )
        except LookupError as error:  # an operation without a gradient of its gradient
            raise NotImplementedError(f"TensorFlow cannot differentiate it twice: {error}") from error
        dx2, ddy, dgamma2 = (array.numpy() for array in second)
        return {"dx2": dx2, "ddy": ddy, "dgamma2": dgamma2.ravel()}

    def _shaped(self, arrays):
        """Those of gamma and beta in the shapes of the variables."""
        like_x, *like_parameters = arrays
        held = zip(like_parameters, self.variables(), strict=True)
        return (tf.constant(like_x), *(tf.constant(array.reshape(variable.shape)) for array, variable in held))
