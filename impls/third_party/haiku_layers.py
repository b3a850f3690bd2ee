"""haiku.BatchNorm: a module without state of its own; parameters and moving averages go in and out of each call."""

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from impls.third_party.jax_twice import TwiceDifferentiable


class HaikuBatchNorm(TwiceDifferentiable):
    conventions = {"preset": "flax", "debias": True}
    dtypes = ("float64", "float32")
    ranks = (2, 3, 4, 5)
    devices = ("cpu", "cuda")  # as JAX_PLATFORMS says
    library = "jax"
    options = ("no_gamma", "no_beta")

    def __init__(self, setup):
        jax.config.update("jax_enable_x64", setup.dtype == "float64")
        given = {"decay_rate": 0.9 if setup.momentum is None else setup.momentum}
        if setup.eps is not None:
            given["eps"] = setup.eps
        has = setup.gamma is not None, setup.beta is not None
        self.apply = hk.without_apply_rng(
            hk.transform_with_state(lambda x, training: hk.BatchNorm(*has, **given, name="bn")(x, training))
        ).apply
        self.shape = (1,) * (setup.ndim - 1) + (setup.num_features,)
        arrays = {"scale": setup.gamma, "offset": setup.beta}
        self.params = {"bn": {name: self._as_theirs(a) for name, a in arrays.items() if a is not None}}
        self.moving = {
            f"bn/~/{name}_ema": {"counter": jnp.zeros((), jnp.int32), "hidden": start, "average": start}
            for name, start in (
                ("mean", self._as_theirs(setup.moving_mean)),
                ("var", self._as_theirs(setup.moving_var)),
            )
        }

    def train(self, x, dy):
        return self._step(x, dy, True)

    def eval(self, x, dy):
        return self._step(x, dy, False)

    def frozen(self, x, dy):
        """In a model that trains, called with `is_training=False`."""
        return self._step(x, dy, False)

    def stats(self):
        return {f"moving_{name}": np.ravel(self.moving[f"bn/~/{name}_ema"]["average"]) for name in ("mean", "var")}

    def forward(self, training):
        def y_of(x, gamma, beta):
            parameters = {"scale": self._as_theirs(gamma), "offset": self._as_theirs(beta)}
            return self.apply({"bn": parameters}, self.moving, x, training)[0]

        return y_of

    def parameters(self):
        return self.params["bn"]["scale"].ravel(), self.params["bn"]["offset"].ravel()

    def _as_theirs(self, array):
        return jnp.asarray(array).reshape(self.shape)

    def _step(self, x, dy, training):
        def forward(params, x):
            return self.apply(params, self.moving, x, training)

        y, backward, self.moving = jax.vjp(forward, self.params, jnp.asarray(x), has_aux=True)
        gradients, dx = backward(jnp.asarray(dy))
        names = {"scale": "dgamma", "offset": "dbeta"}
        of_parameters = {names[theirs]: np.ravel(gradient) for theirs, gradient in gradients["bn"].items()}
        return {"y": np.asarray(y), "dx": np.asarray(dx), **of_parameters}
