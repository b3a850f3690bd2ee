"""A flax.linen Module behind the contract."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen, traverse_util

from harness.targets.wrap import common

jax.config.update("jax_enable_x64", True)
ALL_DTYPES = ("float64", "float32", "bfloat16", "float16")
Arrays = dict[str, jax.Array]


def wrap(target: Callable[..., Any], given: dict[str, Any] | None = None) -> type:
    """A class or factory of a module -> an implementation under test. `given`: settings to build it with."""
    native = isinstance(target, type) and target.__module__.startswith("flax.linen.")
    attributes = common.declared(target, conventions="flax" if native else None, dtypes=ALL_DTYPES if native else None)
    members = {"target": staticmethod(target), "given": given or {}, "adapter_notes": {}, **attributes}
    return type(common.called(target), (LinenModule,), members)


class LinenModule:
    adapter = "a linen module"
    adapter_notes: dict[str, str]
    target: Callable[..., linen.Module]
    given: dict[str, Any]

    def __init__(self, setup: Any) -> None:
        others = {"dtype": jnp.dtype(setup.dtype), "param_dtype": setup.gamma.dtype}
        given = {name: value for name, value in self.given.items() if name not in ("parent", "name")}
        arguments = common.arguments(self.target, setup, others, given)
        self.layer: Any = self.target(**arguments)
        self._mode(True)
        self.setup, self.found = setup, dict[str, str]()
        self.arrays: Arrays = {}

    def _mode(self, training: bool) -> tuple[tuple[str, bool], ...]:
        mode = common.mode_argument(type(self.layer).__call__, training)
        if not mode:
            names = ", ".join(common.parameters_of(type(self.layer).__call__))
            raise common.AdapterError(
                f"{common.called(type(self.layer))}.__call__({names}) has no argument that tells training from "
                f"prediction; looked for {', '.join(common.TRAINING + common.PREDICTING)}"
            )
        return tuple(mode.items())

    def _initialize(self, x: np.ndarray) -> None:
        """linen makes its arrays at the first call: x tells it how many."""
        made = self.layer.init(jax.random.key(0), jnp.asarray(x), **dict(self._mode(False)))
        self.arrays = traverse_util.flatten_dict(made, sep=".")
        seen = {path: tuple(one.shape) for path, one in self.arrays.items()}
        self.found = common.find_arrays(seen, self.setup.num_features)
        common.require(self.found, ("gamma", "beta"), seen, common.called(type(self.layer)))
        self.adapter_notes["wrapped"] = common.mapping_note(self.adapter, self.found)
        for ours, path in self.found.items():
            self.arrays[path] = jnp.asarray(getattr(self.setup, ours)).reshape(seen[path])

    def train(self, x: np.ndarray, dy: np.ndarray) -> dict[str, jax.Array]:
        return self._step(x, dy, True)

    def eval(self, x: np.ndarray, dy: np.ndarray) -> dict[str, jax.Array]:
        return self._step(x, dy, False)

    def train_no_grad(self, x: np.ndarray) -> dict[str, jax.Array]:
        return {"y": self._step(x, np.ones_like(x), True)["y"]}

    def _step(self, x: np.ndarray, dy: np.ndarray, training: bool) -> dict[str, jax.Array]:
        if not self.arrays:
            self._initialize(x)
        parameters = {path: one for path, one in self.arrays.items() if path.startswith("params.")}
        kept = {path: one for path, one in self.arrays.items() if path not in parameters}
        mode = self._mode(training)
        y, dx, gradients, kept = _gradients(self.layer, jnp.asarray(x), jnp.asarray(dy), parameters, kept, mode)
        self.arrays = parameters | kept
        d = {f"d{name}": gradients[self.found[name]].ravel() for name in ("gamma", "beta")}
        return {"y": y, "dx": dx, **d}

    @property
    def stats(self) -> Any:
        names = [name for name in ("moving_mean", "moving_var") if name in self.found]
        return (lambda: {name: self.arrays[self.found[name]].ravel() for name in names}) if names else None

    def state(self) -> Arrays:
        return dict(self.arrays)

    def load_state(self, state: Arrays) -> None:
        self.arrays = dict(state)
        seen = {path: tuple(one.shape) for path, one in state.items()}
        self.found = common.find_arrays(seen, self.setup.num_features)


@partial(jax.jit, static_argnums=(0, 5))
def _gradients(layer, x, dy, parameters, kept, mode):
    def forward(x, parameters):
        variables = traverse_util.unflatten_dict(parameters | kept, sep=".")
        y, updated = layer.apply(variables, x, mutable=["batch_stats"], **dict(mode))
        return y, kept | traverse_util.flatten_dict(updated, sep=".")

    y, backward, kept = jax.vjp(forward, x, parameters, has_aux=True)
    dx, gradients = backward(dy)
    return y, dx, gradients, kept
