"""objax.nn.BatchNorm, whose variables are read and written around a function that JAX differentiates."""

import jax
import jax.numpy as jnp
import numpy as np
import objax


class ObjaxBatchNorm:
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
        layer = self.layer
        parameters = layer.gamma.value, layer.beta.value
        running = layer.running_mean.value, layer.running_var.value

        def forward(x, gamma, beta):
            self.gamma.value, self.beta.value = gamma, beta
            layer.running_mean.value, layer.running_var.value = running
            y = layer(x, training)
            return y, (layer.running_mean.value, layer.running_var.value)

        y, backward, moved = jax.vjp(forward, jnp.asarray(x), *parameters, has_aux=True)
        self.gamma.value, self.beta.value = parameters
        layer.running_mean.value, layer.running_var.value = moved
        dx, dgamma, dbeta = backward(jnp.asarray(dy))
        return {"y": np.asarray(y), "dx": np.asarray(dx), "dgamma": np.ravel(dgamma), "dbeta": np.ravel(dbeta)}
