"""brainpy.dnn.BatchNorm1d to 3d, by rank: on JAX, with variables that are read and written around its vjp."""

import functools

import brainpy
import jax
import jax.numpy as jnp
import numpy as np

from impls.third_party.jax_twice import TwiceDifferentiable

NAMES = ("y", "dx", "dgamma", "dbeta")


class BrainpyBatchNorm(TwiceDifferentiable):
    conventions = {"preset": "flax", "moving_var": "unbiased"}
    dtypes = ("float64", "float32")
    ranks = (3, 4, 5)
    devices = ("cpu", "cuda")  # as JAX_PLATFORMS says
    library = "jax"

    def __init__(self, setup):
        brainpy.math.set_environment(x64=setup.dtype == "float64")
        given = {"epsilon": setup.eps, "momentum": setup.momentum}
        given = {name: value for name, value in given.items() if value is not None}
        self.layer = getattr(brainpy.dnn, f"BatchNorm{setup.ndim - 2}d")(setup.num_features, **given)
        self.arrays = [jnp.asarray(a) for a in (setup.gamma, setup.beta, setup.moving_mean, setup.moving_var)]
        self.compiled = functools.partial(jax.jit(step, static_argnums=(0, 1)), self.layer)

    def train(self, x, dy):
        return self._step(x, dy, True)

    def eval(self, x, dy):
        return self._step(x, dy, False)

    def stats(self):
        return {"moving_mean": np.asarray(self.arrays[2]), "moving_var": np.asarray(self.arrays[3])}

    def forward(self, training):
        return lambda x, gamma, beta: called(self.layer, training, x, gamma, beta, *self.arrays[2:])[0]

    def parameters(self):
        return self.arrays[:2]

    def _step(self, x, dy, training):
        results, self.arrays[2:] = self.compiled(training, x, dy, *self.arrays)
        return {name: np.asarray(array) for name, array in zip(NAMES, results)}  # noqa: B905 - Python 3.9


def step(layer, training, x, dy, gamma, beta, *moving):
    """((y, dx, dgamma, dbeta), the moving statistics)."""

    def forward(*inputs):
        return called(layer, training, *inputs, *moving)

    y, backward, moved = jax.vjp(forward, x, gamma, beta, has_aux=True)
    return (y, *backward(dy)), moved


def called(layer, training, x, *values):
    """y and the moving statistics, by values of the variables, which are as they were afterwards."""
    variables = layer.scale, layer.bias, layer.running_mean, layer.running_var
    before = [variable.value for variable in variables]
    for variable, value in zip(variables, values):  # noqa: B905
        variable.value = value
    brainpy.share.save(fit=training)
    y, moved = layer(x), [variable.value for variable in variables[2:]]
    for variable, value in zip(variables, before):  # noqa: B905 - nothing traced stays behind
        variable.value = value
    return y, moved
