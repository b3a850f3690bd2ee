"""flax.linen.BatchNorm as it comes: the target `flax-linen`. Two-pass variance: `FlaxLinenTwoPass`."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen

jax.config.update("jax_enable_x64", True)


class FlaxLinen:
    conventions = "flax"
    dtypes = ("float64", "float32", "bfloat16", "float16")
    use_fast_variance = True

    def __init__(self, setup: Any) -> None:
        given = {"epsilon": setup.eps, "momentum": setup.momentum}
        self.layer = linen.BatchNorm(
            **{name: value for name, value in given.items() if value is not None},
            dtype=jnp.dtype(setup.dtype),
            param_dtype=setup.gamma.dtype,
            use_fast_variance=self.use_fast_variance,
        )
        self.params = {"scale": jnp.asarray(setup.gamma), "bias": jnp.asarray(setup.beta)}
        self.moving = {"mean": jnp.asarray(setup.moving_mean), "var": jnp.asarray(setup.moving_var)}

    def train(self, x: np.ndarray, dy: np.ndarray) -> dict[str, jax.Array]:
        return self._step(x, dy, training=True)

    def eval(self, x: np.ndarray, dy: np.ndarray) -> dict[str, jax.Array]:
        return self._step(x, dy, training=False)

    def train_no_grad(self, x: np.ndarray) -> dict[str, jax.Array]:
        y, self.moving = _forward(self.layer, jnp.asarray(x), self.params, self.moving, True)
        return {"y": y}

    def _step(self, x: np.ndarray, dy: np.ndarray, training: bool) -> dict[str, jax.Array]:
        y, (dx, d), self.moving = _gradients(
            self.layer, jnp.asarray(x), jnp.asarray(dy), self.params, self.moving, training
        )
        return {"y": y, "dx": dx, "dgamma": d["scale"], "dbeta": d["bias"]}

    def stats(self) -> dict[str, jax.Array]:
        return {"moving_mean": self.moving["mean"], "moving_var": self.moving["var"]}

    def state(self) -> dict[str, Any]:
        return {"params": self.params, "moving": self.moving}

    def load_state(self, state: dict[str, Any]) -> None:
        self.params, self.moving = state["params"], state["moving"]


class FlaxLinenTwoPass(FlaxLinen):
    use_fast_variance = False


@partial(jax.jit, static_argnums=(0, 4))
def _forward(layer, x, params, moving, training):
    variables = {"params": params, "batch_stats": moving}
    y, updated = layer.apply(variables, x, use_running_average=not training, mutable=["batch_stats"])
    return y, updated["batch_stats"]


@partial(jax.jit, static_argnums=(0, 5))
def _gradients(layer, x, dy, params, moving, training):
    y, backward, moving = jax.vjp(lambda x, p: _forward(layer, x, p, moving, training), x, params, has_aux=True)
    return y, backward(dy), moving
