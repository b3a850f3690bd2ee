"""Forward mode and second derivatives of a layer on JAX: jvp, and vjp of vjp."""

from abc import abstractmethod

import jax
import jax.numpy as jnp
import numpy as np


class TwiceDifferentiable:
    """What an adapter adds to the contract by its layer as a function."""

    @abstractmethod
    def forward(self, training):
        """(x, gamma, beta) -> y, which leaves the moving statistics alone. gamma, beta: [C]."""

    @abstractmethod
    def parameters(self):
        """gamma, beta: [C]."""

    def train_jvp(self, x, *tangents):
        return self._tangent(x, tangents, True)

    def eval_jvp(self, x, *tangents):
        return self._tangent(x, tangents, False)

    def train_double(self, x, dy, *directions):
        return self._twice(x, dy, directions, True)

    def eval_double(self, x, dy, *directions):
        return self._twice(x, dy, directions, False)

    def _tangent(self, x, tangents, training):
        _, ty = jax.jvp(self.forward(training), self._point(x), tuple(map(jnp.asarray, tangents)))
        return {"ty": np.asarray(ty)}

    def _twice(self, x, dy, directions, training):
        forward = self.forward(training)

        def gradients(dy, *point):
            return jax.vjp(forward, *point)[1](dy)

        _, backward = jax.vjp(gradients, jnp.asarray(dy), *self._point(x))
        ddy, dx2, dgamma2, _ = backward(tuple(map(jnp.asarray, directions)))
        return {"dx2": np.asarray(dx2), "ddy": np.asarray(ddy), "dgamma2": np.asarray(dgamma2)}

    def _point(self, x):
        return (jnp.asarray(x), *map(jnp.asarray, self.parameters()))
