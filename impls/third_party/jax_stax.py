"""jax.example_libraries.stax.BatchNorm: training alone; it keeps no moving statistics and does not predict."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.example_libraries import stax


class StaxBatchNorm:
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
        def forward(x, gamma, beta):
            return self.apply((beta, gamma), x)

        y, backward = jax.vjp(forward, jnp.asarray(x), self.gamma, self.beta)
        arrays = (y, *backward(jnp.asarray(dy, y.dtype)))
        return {name: np.asarray(a) for name, a in zip(("y", "dx", "dgamma", "dbeta"), arrays, strict=True)}
