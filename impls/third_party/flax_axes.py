"""flax.linen.BatchNorm with a tuple for its axis: the channels of x are split over two axes, each pair a channel."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen

jax.config.update("jax_enable_x64", True)
AXES: Any = (-2, -1)
"""It is annotated as an int, and takes a tuple."""


class AxisTuple:
    conventions = "flax"
    dtypes = ("float64", "float32")
    ranks = (2, 3, 4)

    def __init__(self, setup):
        given = {"epsilon": setup.eps, "momentum": setup.momentum}
        given = {name: value for name, value in given.items() if value is not None}
        self.layer = linen.BatchNorm(axis=AXES, dtype=jnp.dtype(setup.dtype), param_dtype=setup.gamma.dtype, **given)
        channels = setup.num_features
        rows = next((size for size in range(2, channels) if channels % size == 0), 1)
        self.split = (rows, channels // rows)
        self.params = {"scale": self._split(setup.gamma), "bias": self._split(setup.beta)}
        self.moving = {"mean": self._split(setup.moving_mean), "var": self._split(setup.moving_var)}

    def train(self, x, dy):
        return self._step(x, dy, True)

    def eval(self, x, dy):
        return self._step(x, dy, False)

    def stats(self):
        return {f"moving_{name}": np.ravel(value) for name, value in self.moving.items()}

    def _split(self, array):
        return jnp.asarray(array).reshape(*np.shape(array)[:-1], *self.split)

    def _step(self, x, dy, training):
        def forward(x, params):
            variables = {"params": params, "batch_stats": self.moving}
            return self.layer.apply(variables, x, use_running_average=not training, mutable=["batch_stats"])

        y, backward, updated = jax.vjp(forward, self._split(x), self.params, has_aux=True)
        dx, gradients = backward(self._split(dy))
        self.moving = updated.get("batch_stats", self.moving)
        like_x = {name: np.asarray(value).reshape(x.shape) for name, value in (("y", y), ("dx", dx))}
        return like_x | {"dgamma": np.ravel(gradients["scale"]), "dbeta": np.ravel(gradients["bias"])}
