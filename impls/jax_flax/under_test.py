"""Our JAX function and our flax module behind the contract of an implementation under test: `jax` and `flax`."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from impls.jax_flax.batch_norm import BatchNorm, batch_norm

# float64 cases are part of every suite; the target has its process to itself.
jax.config.update("jax_enable_x64", True)

ALL_DTYPES = ("float64", "float32", "bfloat16", "float16")


class Function:
    """`batch_norm`, whose moving statistics the caller carries from step to step."""

    conventions = "d2l"
    dtypes = ALL_DTYPES

    def __init__(self, setup: Any) -> None:
        self.eps, self.momentum = setup.eps, setup.momentum
        self.parameters = (jnp.asarray(setup.gamma), jnp.asarray(setup.beta))
        self.moving = (jnp.asarray(setup.moving_mean), jnp.asarray(setup.moving_var))

    def train(self, x: np.ndarray, dy: np.ndarray) -> dict[str, jax.Array]:
        return self._step(x, dy, training=True)

    def eval(self, x: np.ndarray, dy: np.ndarray) -> dict[str, jax.Array]:
        return self._step(x, dy, training=False)

    def train_no_grad(self, x: np.ndarray) -> dict[str, jax.Array]:
        y, self.moving = _function(jnp.asarray(x), self.parameters, self.moving, self.eps, self.momentum, True)
        return {"y": y}

    def _step(self, x: np.ndarray, dy: np.ndarray, training: bool) -> dict[str, jax.Array]:
        y, gradients, self.moving = _function_and_gradients(
            jnp.asarray(x), jnp.asarray(dy), self.parameters, self.moving, self.eps, self.momentum, training
        )
        return {"y": y} | dict(zip(("dx", "dgamma", "dbeta"), gradients, strict=True))

    def stats(self) -> dict[str, jax.Array]:
        return dict(zip(("moving_mean", "moving_var"), self.moving, strict=True))

    def state(self) -> dict[str, Any]:
        return {"parameters": self.parameters, "moving": self.moving}

    def load_state(self, state: dict[str, Any]) -> None:
        self.parameters, self.moving = state["parameters"], state["moving"]


@partial(jax.jit, static_argnums=5)
def _function(x, parameters, moving, eps, momentum, training):
    (gamma, beta), (mean, var) = parameters, moving
    y, mean, var = batch_norm(x, gamma, beta, mean, var, eps, momentum, training=training)
    return y, (mean, var)


@partial(jax.jit, static_argnums=6)
def _function_and_gradients(x, dy, parameters, moving, eps, momentum, training):
    def forward(x, gamma, beta):
        return _function(x, (gamma, beta), moving, eps, momentum, training)

    y, backward, moving = jax.vjp(forward, x, *parameters, has_aux=True)
    return y, backward(dy), moving


class Module:
    """The nnx module, its mode set as flax sets it."""

    conventions = "d2l"
    dtypes = ALL_DTYPES
    parameters = ("gamma", "beta")

    def __init__(self, setup: Any) -> None:
        self.layer = BatchNorm(setup.num_features, setup.eps, setup.momentum, dtype=setup.gamma.dtype)
        for name in ("gamma", "beta", "moving_mean", "moving_var"):
            getattr(self.layer, name)[...] = jnp.asarray(getattr(setup, name))

    def train(self, x: np.ndarray, dy: np.ndarray) -> dict[str, jax.Array]:
        return self._step(x, dy, training=True)

    def eval(self, x: np.ndarray, dy: np.ndarray) -> dict[str, jax.Array]:
        return self._step(x, dy, training=False)

    def train_no_grad(self, x: np.ndarray) -> dict[str, jax.Array]:
        self.layer.train()
        return {"y": self.layer(jnp.asarray(x))}

    def _step(self, x: np.ndarray, dy: np.ndarray, training: bool) -> dict[str, jax.Array]:
        self.layer.train() if training else self.layer.eval()
        y, gradients, dx = module_and_gradients(self.layer, jnp.asarray(x), jnp.asarray(dy))
        dgamma, dbeta = (gradients[name][...] for name in self.parameters)
        return {"y": y, "dx": dx, "dgamma": dgamma, "dbeta": dbeta}

    def stats(self) -> dict[str, jax.Array]:
        mean, var = self.layer.moving_statistics()
        return {"moving_mean": mean, "moving_var": var}

    def state(self) -> Any:
        return jax.tree.map(jnp.copy, nnx.state(self.layer))

    def load_state(self, state: Any) -> None:
        nnx.update(self.layer, state)


@nnx.jit
def module_and_gradients(layer, x, dy):
    """(y, gradients of the parameters, dx) of any nnx layer; its statistics move as its mode says.

    The gradient of sum(y * dy) hands dy itself to the layer's backward: a product by 1 is exact.
    """

    def objective(layer, x):
        y = layer(x)
        return (y * dy).sum(), y

    gradient = nnx.grad(objective, argnums=(nnx.DiffState(0, nnx.Param), 1), has_aux=True)
    (parameters, dx), y = gradient(layer, x)
    return y, parameters, dx
