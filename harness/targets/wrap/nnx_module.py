"""A flax.nnx Module behind the contract."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from harness.targets.wrap import common

jax.config.update("jax_enable_x64", True)
ALL_DTYPES = ("float64", "float32", "bfloat16", "float16")


def wrap(target: Callable[..., Any], given: dict[str, Any] | None = None) -> type:
    """A class or factory of a module -> an implementation under test. `given`: settings to build it with."""
    native = isinstance(target, type) and target.__module__.startswith("flax.nnx.")
    attributes = common.declared(target, conventions="flax" if native else None, dtypes=ALL_DTYPES if native else None)
    members = {"target": staticmethod(target), "given": given or {}, "adapter_notes": {}, **attributes}
    return type(common.called(target), (NnxModule,), members)


class NnxModule:
    adapter = "an nnx module"
    adapter_notes: dict[str, str]
    target: Callable[..., Any]
    given: dict[str, Any]

    def __init__(self, setup: Any) -> None:
        others = {"dtype": jnp.dtype(setup.dtype), "param_dtype": setup.gamma.dtype, "rngs": nnx.Rngs(0)}
        arguments = common.arguments(self.target, setup, others, self.given)
        self.layer: Any = self.target(**arguments)
        common.set_numbers(self.layer, setup, arguments)
        seen = {path: tuple(one[...].shape) for path, one in variables(self.layer).items()}
        self.found = common.find_arrays(seen, setup.num_features)
        common.require(self.found, ("gamma", "beta"), seen, common.called(type(self.layer)))
        self.adapter_notes["wrapped"] = common.mapping_note(self.adapter, self.found)
        for ours, path in self.found.items():
            variables(self.layer)[path].set_value(jnp.asarray(getattr(setup, ours)).reshape(seen[path]))
        common.check_read_back(setup, {name: self._array(name) for name in self.found})
        self.stats = self._stats if "moving_mean" in self.found or "moving_var" in self.found else None

    def _array(self, ours: str) -> jax.Array:
        return variables(self.layer)[self.found[ours]][...].ravel()

    def train(self, x: np.ndarray, dy: np.ndarray) -> dict[str, jax.Array]:
        return self._step(x, dy, True)

    def eval(self, x: np.ndarray, dy: np.ndarray) -> dict[str, jax.Array]:
        return self._step(x, dy, False)

    def train_no_grad(self, x: np.ndarray) -> dict[str, jax.Array]:
        self.layer.train()
        return {"y": self.layer(jnp.asarray(x), **common.mode_argument(type(self.layer).__call__, True))}

    def _step(self, x: np.ndarray, dy: np.ndarray, training: bool) -> dict[str, jax.Array]:
        self.layer.train() if training else self.layer.eval()
        mode = tuple(common.mode_argument(type(self.layer).__call__, training).items())
        call: Any = module_and_gradients
        y, gradients, dx = call(self.layer, jnp.asarray(x), jnp.asarray(dy), mode)
        flat = variables(gradients)
        dgamma, dbeta = (flat[self.found[name]][...].ravel() for name in ("gamma", "beta"))
        return {"y": y, "dx": dx, "dgamma": dgamma, "dbeta": dbeta}

    def _stats(self) -> dict[str, jax.Array]:
        return {name: self._array(name) for name in ("moving_mean", "moving_var") if name in self.found}

    def state(self) -> Any:
        return jax.tree.map(jnp.copy, nnx.state(self.layer))

    def load_state(self, state: Any) -> None:
        nnx.update(self.layer, state)


def variables(layer_or_state: Any) -> dict[str, Any]:
    """Every variable that holds an array, by path."""
    state = layer_or_state if isinstance(layer_or_state, nnx.State) else nnx.state(layer_or_state)
    flat = nnx.to_flat_state(state)
    return {".".join(map(str, path)): one for path, one in flat if hasattr(one[...], "shape")}


@partial(nnx.jit, static_argnums=3)
def module_and_gradients(layer, x, dy, mode):
    """(y, gradients of the parameters, dx). The gradient of sum(y * dy) hands dy itself to the layer's backward."""

    def objective(layer, x):
        y = layer(x, **dict(mode))
        return (y * dy).sum(), y

    gradient = nnx.grad(objective, argnums=(nnx.DiffState(0, nnx.Param), 1), has_aux=True)
    (parameters, dx), y = gradient(layer, x)
    return y, parameters, dx
