"""brainstate.nn.BatchNorm0d to 3d, by rank: on JAX, with states of its own and a gradient that knows them."""

from typing import Any

import brainstate
import jax
import jax.numpy as jnp
import numpy as np

from impls.third_party.jax_twice import TwiceDifferentiable

STATES = ("weight", "running_mean", "running_var")


class BrainstateBatchNorm(TwiceDifferentiable):
    """A layer is made for the shape of a sample: another one for another shape, with the same values."""

    conventions = "flax"
    dtypes = ("float64", "float32")
    ranks = (2, 3, 4, 5)
    devices = ("cpu", "cuda")  # as JAX_PLATFORMS says
    library = "jax"

    def __init__(self, setup):
        jax.config.update("jax_enable_x64", setup.dtype == "float64")
        given = {"epsilon": setup.eps, "momentum": setup.momentum, "dtype": jnp.dtype(setup.dtype)}
        self.given = {name: value for name, value in given.items() if value is not None}
        self.kind = getattr(brainstate.nn, f"BatchNorm{setup.ndim - 2}d")
        self.shape = (1,) * (setup.ndim - 2) + (setup.num_features,)
        gamma, beta, mean, var = (
            jnp.asarray(a).reshape(self.shape) for a in (setup.gamma, setup.beta, setup.moving_mean, setup.moving_var)
        )
        self.values: dict[str, Any] = {
            "weight": {"scale": gamma, "bias": beta},
            "running_mean": mean,
            "running_var": var,
        }
        self.layer: Any = None

    def train(self, x, dy):
        return self._step(x, dy, True)

    def eval(self, x, dy):
        return self._step(x, dy, False)

    def stats(self):
        return {f"moving_{name}": np.ravel(self.values[f"running_{name}"]) for name in ("mean", "var")}

    def forward(self, training):
        def y_of(x, gamma, beta):
            layer = self.kind(x.shape[1:], **self.given)  # of its own: nothing traced is left in a state
            layer.weight.value = {"scale": gamma.reshape(self.shape), "bias": beta.reshape(self.shape)}
            for name in STATES[1:]:
                getattr(layer, name).value = self.values[name]
            with brainstate.environ.context(fit=training):
                return layer(x)

        return y_of

    def parameters(self):
        return self.values["weight"]["scale"].ravel(), self.values["weight"]["bias"].ravel()

    def _step(self, x, dy, training):
        if self.layer is None or self.layer.in_size != x.shape[1:]:
            self.layer = self.kind(x.shape[1:], **self.given)
            for name in STATES:
                getattr(self.layer, name).value = self.values[name]
            self.compiled = brainstate.transform.jit(self._gradients, static_argnums=2)
        y, dx, parameters = self.compiled(jnp.asarray(x), jnp.asarray(dy), training)
        self.values = {name: getattr(self.layer, name).value for name in STATES}
        dgamma, dbeta = np.ravel(parameters["scale"]), np.ravel(parameters["bias"])
        return {"y": np.asarray(y), "dx": np.asarray(dx), "dgamma": dgamma, "dbeta": dbeta}

    def _gradients(self, x, dy, training):
        def objective(x):
            with brainstate.environ.context(fit=training):
                y = self.layer(x)
            return (y * dy).sum(), y

        gradient = brainstate.transform.grad(objective, grad_states=self.layer.weight, argnums=0, has_aux=True)
        (parameters, dx), y = gradient(x)
        return y, dx, parameters
