"""equinox.nn.BatchNorm(mode="batch"): the batch axis is a vmap's, and the moving averages are debiased in prediction.

Its other mode, "ema", normalizes by the moving averages in training too, and so is no batch norm in the usual sense.
"""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from impls.third_party.jax_twice import TwiceDifferentiable

AXIS = "batch"


class EquinoxBatchNorm(TwiceDifferentiable):
    conventions = {"preset": "flax", "channel_axis": 1, "debias": True}
    dtypes = ("float64", "float32")
    ranks = (2, 3, 4, 5)
    devices = ("cpu", "cuda")  # as JAX_PLATFORMS says
    library = "jax"
    options = ("no_gamma", "no_beta")

    def __init__(self, setup):
        jax.config.update("jax_enable_x64", setup.dtype == "float64")
        given = {name: value for name in ("eps", "momentum") if (value := getattr(setup, name)) is not None}
        if (setup.gamma is None) != (setup.beta is None):
            raise NotImplementedError("equinox.nn.BatchNorm has scale and shift, or none of them")
        given |= {} if setup.gamma is not None else {"channelwise_affine": False}
        layer, state = eqx.nn.make_with_state(eqx.nn.BatchNorm)(setup.num_features, AXIS, mode="batch", **given)
        start = jnp.asarray(setup.moving_mean), jnp.asarray(setup.moving_var)
        self.moving = state.set(layer.batch_state_index, start)
        self.layer = layer
        if setup.gamma is not None:
            self.layer = with_parameters(layer, jnp.asarray(setup.gamma), jnp.asarray(setup.beta))

    def train(self, x, dy):
        return self._step(x, dy, inference=False)

    def eval(self, x, dy):
        return self._step(x, dy, inference=True)

    def frozen(self, x, dy):
        """In a model that trains, called with `inference=True`."""
        return self._step(x, dy, inference=True)

    def stats(self):
        averages = self.moving.get(self.layer.batch_state_index)
        updates = int(self.moving.get(self.layer.batch_counter))
        share = 1 - self.layer.momentum**updates if updates else 1  # as the layer itself does in prediction
        return {
            name: np.asarray(average / share)
            for name, average in zip(("moving_mean", "moving_var"), averages, strict=True)
        }

    def forward(self, training):
        return lambda *inputs: self._call(not training, *inputs)[0]

    def parameters(self):
        return () if self.layer.weight is None else (self.layer.weight, self.layer.bias)

    def _step(self, x, dy, inference):
        forward = functools.partial(self._call, inference)
        y, backward, self.moving = jax.vjp(forward, jnp.asarray(x), *self.parameters(), has_aux=True)
        arrays = (y, *backward(jnp.asarray(dy)))
        return {name: np.asarray(a) for name, a in zip(("y", "dx", "dgamma", "dbeta"), arrays, strict=False)}

    def _call(self, inference, x, *parameters):
        layer = with_parameters(self.layer, *parameters) if parameters else self.layer
        of_batch = jax.vmap(
            lambda x, moving: layer(x, moving, inference=inference),
            axis_name=AXIS, in_axes=(0, None), out_axes=(0, None),
        )  # fmt: skip
        return of_batch(x, self.moving)


def with_parameters(layer, weight, bias):
    return eqx.tree_at(lambda layer: (layer.weight, layer.bias), layer, (weight, bias))
