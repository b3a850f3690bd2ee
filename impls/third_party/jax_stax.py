"""jax.example_libraries.stax.BatchNorm: training alone; it keeps no moving statistics and does not predict."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.example_libraries import stax

from impls.third_party.jax_twice import TwiceDifferentiable


class StaxBatchNorm(TwiceDifferentiable):
    eval_jvp: Any = None  # it does not predict
    eval_double: Any = None

    conventions = "flax"
    dtypes = ("float64", "float32")  # float32 parameters promote a 16-bit y
    ranks = (2, 3, 4, 5)
    devices = ("cpu", "cuda")  # as JAX_PLATFORMS says
    library = "jax"

    def __init__(self, setup):
        jax.config.update("jax_enable_x64", setup.dtype == "float64")
        given = {} if setup.eps is None else {"epsilon": setup.eps}
        _, self.apply = stax.BatchNorm(axis=tuple(range(setup.ndim - 1)), **given)
        self.beta, self.gamma = jnp.asarray(setup.beta), jnp.asarray(setup.gamma)

    def train(self, x, dy):
        y, backward = jax.vjp(self.forward(True), jnp.asarray(x), *self.parameters())
        arrays = (y, *backward(jnp.asarray(dy, y.dtype)))
        return {name: np.asarray(a) for name, a in zip(("y", "dx", "dgamma", "dbeta"), arrays, strict=True)}

    def forward(self, training):  # noqa: ARG002 - it has one mode
        return lambda x, gamma, beta: self.apply((beta, gamma), x)

    def parameters(self):
        return self.gamma, self.beta
