"""A flax.nnx Module behind the contract."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from harness.cases.script import parameter_dtype
from harness.targets.results import Keywords, Results
from harness.targets.wrap import common, jax_derivatives, options
from harness.targets.wrap.differentiable import DifferentiableAdapter
from harness.targets.wrap.jax_array import jax_array

jax.config.update("jax_enable_x64", True)
ALL_RANKS = (2, 3, 4, 5)
ALL_DTYPES = ("float64", "float32", "bfloat16", "float16")


def wrap(target: Callable[..., Any], given: Keywords | None = None) -> type:
    """A class or factory of a module -> an implementation under test. given: settings to build it with."""
    native = isinstance(target, type) and target.__module__.startswith("flax.nnx.")
    defaults = {"conventions": "flax", "dtypes": ALL_DTYPES, "ranks": ALL_RANKS} if native else {}
    adapter = common.adapter_for(NnxModule, target, given, **defaults)
    adapter.masked = isinstance(target, type) and options.takes_mask(target.__call__)  # type: ignore[attr-defined]
    return adapter


class NnxModule(DifferentiableAdapter):
    """One module, compiled. `dtype` is x's, `param_dtype` that of gamma; the mode is set by `train()` and `eval()`.

    Raises common.AdapterError where the module has no gamma or beta.
    """

    adapter = "an nnx module"
    options = options.ALL
    framework = "flax"
    devices = ("cpu", "cuda")
    library = "jax"
    batch_norm = nnx.BatchNorm

    def __init__(self, setup: Any) -> None:
        others = {"dtype": jnp.dtype(setup.dtype), "param_dtype": parameter_dtype(setup.dtype)}
        if "rngs" in common.parameters_of(self.target):
            others["rngs"] = nnx.Rngs(0)  # computes its keys as it is made
        arguments = common.arguments(self.target, setup, others | options.keywords(self.target, setup), self.given)
        self.layer: Any = self.target(**arguments)
        self.note_replaced(setup, common.set_numbers(self.layer, setup, arguments))
        shapes = {path: tuple(variable[...].shape) for path, variable in variables(self.layer).items()}
        self.paths = common.find_arrays(shapes, setup.num_features)
        if setup.moving_mean is None and "moving_mean" in self.paths:
            raise NotImplementedError(f"{common.called(self.target)} keeps moving statistics all the same")
        self.paths = options.without_absent(self.paths, setup)
        common.require(self.paths, options.built_with(setup), shapes, common.called(type(self.layer)))
        self.note_mapping(self.paths)
        for ours, path in self.paths.items():
            assign(self.layer, path, jax_array(getattr(setup, ours)).reshape(shapes[path]))
        common.check_read_back(setup, {name: self._array(name) for name in self.paths})
        self.stats = self._stats if "moving_mean" in self.paths or "moving_var" in self.paths else None

    def _array(self, ours: str) -> jax.Array:
        return common.flat(variable_at(self.layer, self.paths[ours])[...])

    def train(self, x: np.ndarray, dy: np.ndarray, mask: np.ndarray | None = None) -> dict[str, jax.Array]:
        return self._step(x, dy, True, mask)

    def eval(self, x: np.ndarray, dy: np.ndarray, mask: np.ndarray | None = None) -> dict[str, jax.Array]:
        return self._step(x, dy, False, mask)

    def frozen(self, x: np.ndarray, dy: np.ndarray) -> dict[str, jax.Array]:
        """In a model that is in training, called with `use_running_average=True`; or put into `eval()` after that."""
        model = nnx.List([self.layer]) if hasattr(nnx, "List") else self.layer
        model.train()
        mode = common.mode_argument(type(self.layer).__call__, False)
        if not mode:
            self.layer.eval()
        return self._gradients(x, dy, mode, None)

    def train_no_grad(self, x: np.ndarray) -> dict[str, jax.Array]:
        self.layer.train()
        mode = common.mode_argument(type(self.layer).__call__, True)
        called: Any = module_called
        return {"y": called(self.layer, jax_array(x), tuple(mode.items()))}

    def _step(
        self, x: np.ndarray, dy: np.ndarray, training: bool, mask: np.ndarray | None = None
    ) -> dict[str, jax.Array]:
        self.layer.train() if training else self.layer.eval()
        return self._gradients(x, dy, common.mode_argument(type(self.layer).__call__, training), mask)

    def _gradients(
        self, x: np.ndarray, dy: np.ndarray, mode: dict[str, bool], mask: np.ndarray | None
    ) -> dict[str, jax.Array]:
        mask = options.with_channels(mask, x.ndim, self.layer)
        graph, parameters, others = split(self.layer)
        arrays = parameters, others, jax_array(x), jax_array(dy)
        y, dx, gradients, (graph, others) = module_and_gradients(graph, tuple(mode.items()), *arrays, mask)
        self.layer = nnx.merge(graph, parameters, others)
        by_path = variables(gradients)
        named = {
            f"d{name}": common.flat(by_path[self.paths[name]][...]) for name in ("gamma", "beta") if name in self.paths
        }
        return {"y": y, "dx": dx, **named}

    def _twice(
        self, x: np.ndarray, dy: np.ndarray, directions: tuple[np.ndarray, ...], training: bool
    ) -> dict[str, jax.Array]:
        function, state = self._as_function(training)
        order = jax_derivatives.ORDER.get()
        return jax_derivatives.twice_compiled(function, order, state, self._point(x), jax_array(dy), directions)

    def _tangent(self, x: np.ndarray, tangents: tuple[np.ndarray, ...], training: bool) -> dict[str, jax.Array]:
        function, state = self._as_function(training)
        return jax_derivatives.tangent_compiled(function, state, self._point(x), tangents)

    def _point(self, x: np.ndarray) -> tuple[jax.Array, ...]:
        return jax_array(x), self._array("gamma"), self._array("beta")

    def _as_function(self, training: bool) -> tuple[NnxFunction, nnx.State]:
        self.layer.train() if training else self.layer.eval()
        mode = common.mode_argument(type(self.layer).__call__, training)
        graph, state = nnx.split(self.layer)
        return NnxFunction(graph, tuple(mode.items()), self.paths["gamma"], self.paths["beta"]), state

    def _stats(self) -> dict[str, jax.Array]:
        return {name: self._array(name) for name in ("moving_mean", "moving_var") if name in self.paths}

    def state(self) -> Any:
        return jax.tree.map(jnp.copy, nnx.state(self.layer))

    def load_state(self, state: Any) -> None:
        nnx.update(self.layer, state)


def variables(layer_or_state: Any) -> Results:
    """Every variable that holds an array, by path."""
    state = layer_or_state if isinstance(layer_or_state, nnx.State) else nnx.state(layer_or_state)
    flat = nnx.to_flat_state(state)
    return {".".join(map(str, path)): variable for path, variable in flat if hasattr(variable[...], "shape")}


def variable_at(layer: Any, path: str) -> Any:
    """One of `variables`, of which each costs as much as all: nnx goes through the whole layer for them."""
    for part in path.split("."):
        layer = layer[int(part)] if part.isdigit() else getattr(layer, part)
    return layer


def assign(layer: Any, path: str, array: jax.Array) -> None:
    """Set the variable at a path. Before flax 0.12 the state holds copies, and variables have no `set_value`."""
    variable = variable_at(layer, path)
    if hasattr(type(variable), "set_value"):
        variable.set_value(array)
    else:
        variable.value = array


@partial(nnx.jit, static_argnums=2)
def module_called(layer, x, mode):
    """y of a call that changes the layer."""
    return layer(x, **dict(mode))


@partial(jax.jit, static_argnums=(0, 1))
def module_and_gradients(graph, mode, parameters, others, x, dy, mask=None):
    """(y, dx, the gradients of the parameters, what the call made of the layer: (graph, all but the parameters)).

    graph, parameters, others: of `split`. nnx's own transformations carry a layer's changes through every call, which
    takes longer to trace.
    """

    def forward(x, parameters):
        layer = nnx.merge(graph, parameters, in_this_trace(others))
        y = layer(x, **dict(mode), **({} if mask is None else {"mask": mask}))
        changed, _, kept = split(layer)
        return y, (changed, kept)

    y, backward, changed = jax.vjp(forward, x, parameters, has_aux=True)
    dx, gradients = backward(dy)
    return y, dx, gradients, changed


@dataclass(frozen=True)
class NnxFunction:
    """y as a function of (state, x, gamma, beta); what the call does to the statistics is dropped.

    Two that are equal compile to one program: a layer that is made anew needs no other.
    """

    graph: Any
    mode: tuple[tuple[str, bool], ...]
    gamma: str
    """Its path in the layer."""
    beta: str

    def __call__(self, state: Any, x: jax.Array, gamma: jax.Array, beta: jax.Array) -> jax.Array:
        layer: Any = nnx.merge(self.graph, in_this_trace(state))
        for path, value in ((self.gamma, gamma), (self.beta, beta)):
            assign(layer, path, value.reshape(variable_at(layer, path)[...].shape))
        return layer(x, **dict(self.mode))


def split(layer: Any) -> Any:
    """(graph, parameters, all other variables)."""
    everything_else: Any = ...
    return nnx.split(layer, nnx.Param, everything_else)


def in_this_trace(state: Any) -> Any:
    """The same arrays in new variables, which a call may write to."""
    return jax.tree.map(lambda array: array, state)
