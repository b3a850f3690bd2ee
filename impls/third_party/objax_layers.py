"""objax.nn.BatchNorm, whose variables are read and written around a function that JAX differentiates."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import objax

from impls.third_party.jax_twice import TwiceDifferentiable


class ObjaxBatchNorm(TwiceDifferentiable):
    conventions = {"preset": "flax", "channel_axis": 1, "default_eps": 1e-6, "default_momentum": 0.999}
    dtypes = ("float64", "float32")
    ranks = (2, 3, 4, 5)
    devices = ("cpu", "cuda")  # as JAX_PLATFORMS says
    library = "jax"

    def __init__(self, setup):
        jax.config.update("jax_enable_x64", setup.dtype == "float64")
        given = {name: value for name in ("eps", "momentum") if (value := getattr(setup, name)) is not None}
        self.shape = (1, setup.num_features) + (1,) * (setup.ndim - 2)
        self.layer = objax.nn.BatchNorm(self.shape, (0, *range(2, setup.ndim)), **given)
        self.gamma, self.beta = objax.TrainRef(self.layer.gamma), objax.TrainRef(self.layer.beta)  # may be assigned
        for variable, start in (
            (self.gamma, setup.gamma),
            (self.beta, setup.beta),
            (self.layer.running_mean, setup.moving_mean),
            (self.layer.running_var, setup.moving_var),
        ):
            variable.value = jnp.asarray(start).reshape(self.shape)

    def train(self, x, dy):
        return self._step(x, dy, True)

    def eval(self, x, dy):
        return self._step(x, dy, False)

    def stats(self):
        return {f"moving_{name}": np.ravel(getattr(self.layer, f"running_{name}").value) for name in ("mean", "var")}

    def _step(self, x, dy, training):
        forward = functools.partial(self._call, training)
        y, backward, moved = jax.vjp(forward, jnp.asarray(x), *self.parameters(), has_aux=True)
        self.layer.running_mean.value, self.layer.running_var.value = moved
        arrays = (y, *backward(jnp.asarray(dy)))
        return {name: np.asarray(a) for name, a in zip(("y", "dx", "dgamma", "dbeta"), arrays, strict=True)}

    def forward(self, training):
        return lambda *inputs: self._call(training, *inputs)[0]

    def parameters(self):
        return self.gamma.value.ravel(), self.beta.value.ravel()

    def _call(self, training, x, gamma, beta):
        """y and the moved statistics. The variables are as they were afterwards: nothing traced stays behind."""
        layer = self.layer
        variables = self.gamma, self.beta, layer.running_mean, layer.running_var
        before = [variable.value for variable in variables]
        self.gamma.value, self.beta.value = gamma.reshape(self.shape), beta.reshape(self.shape)
        y, moved = layer(x, training), (layer.running_mean.value, layer.running_var.value)
        for variable, value in zip(variables, before, strict=True):
            variable.value = value
        return y, moved
