"""A flax.linen Module behind the contract."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen, traverse_util

from harness.cases.script import parameter_dtype
from harness.targets.results import Keywords
from harness.targets.wrap import common, jax_derivatives, options
from harness.targets.wrap.differentiable import DifferentiableAdapter
from harness.targets.wrap.jax_array import jax_array

jax.config.update("jax_enable_x64", True)
ALL_RANKS = (2, 3, 4, 5)
ALL_DTYPES = ("float64", "float32", "bfloat16", "float16")
Arrays = dict[str, jax.Array]


def wrap(target: Callable[..., Any], given: Keywords | None = None) -> type:
    """A class or factory of a module -> an implementation under test. given: settings to build it with."""
    native = isinstance(target, type) and target.__module__.startswith("flax.linen.")
    defaults = {"conventions": "flax", "dtypes": ALL_DTYPES, "ranks": ALL_RANKS} if native else {}
    adapter = common.adapter_for(LinenModule, target, given, **defaults)
    adapter.masked = isinstance(target, type) and options.takes_mask(target.__call__)  # type: ignore[attr-defined]
    return adapter


class LinenModule(DifferentiableAdapter):
    """One module, compiled, with the arrays that the caller carries from step to step, path -> array.

    Raises common.AdapterError where the module has no gamma or beta, or nothing that tells training from prediction.
    """

    adapter = "a linen module"
    options = options.ALL
    framework = "flax"
    devices = ("cpu", "cuda")
    library = "jax"
    batch_norm = linen.BatchNorm

    def __init__(self, setup: Any) -> None:
        others = {"dtype": jnp.dtype(setup.dtype), "param_dtype": parameter_dtype(setup.dtype)}
        others |= options.keywords(self.target, setup)
        given = {name: value for name, value in self.given.items() if name not in ("parent", "name")}
        arguments = common.arguments(self.target, setup, others, given)
        self.layer: Any = self.target(**arguments)
        self.note_replaced(setup, {})
        self._mode(True)
        self.setup, self.paths = setup, dict[str, str]()
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
        """linen makes its arrays at the first call, in the shape that x asks for."""
        arguments = self.layer, jax_array(x), self._mode(False)
        self.arrays = _initial.eval_shape(*arguments)
        shapes = self._find_paths()
        if set(shapes) != set(self.paths.values()):  # some array is not given by the setup
            self.arrays = _initial(*arguments)
        common.require(self.paths, options.built_with(self.setup), shapes, common.called(type(self.layer)))
        self.note_mapping(self.paths)
        for ours, path in self.paths.items():
            self.arrays[path] = jax_array(getattr(self.setup, ours)).reshape(shapes[path])

    def _find_paths(self) -> dict[str, tuple[int, ...]]:
        """Set `paths` by the shapes of the arrays, which are returned."""
        shapes = {path: tuple(array.shape) for path, array in self.arrays.items()}
        self.paths = common.find_arrays(shapes, self.setup.num_features)
        return shapes

    def train(self, x: np.ndarray, dy: np.ndarray, mask: np.ndarray | None = None) -> dict[str, jax.Array]:
        return self._step(x, dy, True, mask)

    def eval(self, x: np.ndarray, dy: np.ndarray, mask: np.ndarray | None = None) -> dict[str, jax.Array]:
        return self._step(x, dy, False, mask)

    def frozen(self, x: np.ndarray, dy: np.ndarray) -> dict[str, jax.Array]:
        """In a model that trains, so that its statistics may be changed, called with `use_running_average=True`."""
        return self._step(x, dy, False)

    def train_no_grad(self, x: np.ndarray) -> dict[str, jax.Array]:
        if not self.arrays:
            self._initialize(x)
        y, updated = _forward(self.layer, jax_array(x), self.arrays, self._mode(True))
        self.arrays = self.arrays | updated
        return {"y": y}

    def _step(
        self, x: np.ndarray, dy: np.ndarray, training: bool, mask: np.ndarray | None = None
    ) -> dict[str, jax.Array]:
        if not self.arrays:
            self._initialize(x)
        parameters = {path: array for path, array in self.arrays.items() if path.startswith("params.")}
        kept = {path: array for path, array in self.arrays.items() if path not in parameters}
        mode = self._mode(training)
        mask = options.with_channels(mask, x.ndim, self.layer)
        y, dx, gradients, updated = _gradients(self.layer, jax_array(x), jax_array(dy), parameters, kept, mode, mask)
        self.arrays = self.arrays | updated
        named = {
            f"d{name}": common.flat(gradients[self.paths[name]]) for name in ("gamma", "beta") if name in self.paths
        }
        return {"y": y, "dx": dx, **named}

    def _twice(
        self, x: np.ndarray, dy: np.ndarray, directions: tuple[np.ndarray, ...], training: bool
    ) -> dict[str, jax.Array]:
        point, function = self._point(x), self._as_function(training)
        return jax_derivatives.twice_compiled(
            function, jax_derivatives.ORDER.get(), self.arrays, point, jax_array(dy), directions
        )

    def _tangent(self, x: np.ndarray, tangents: tuple[np.ndarray, ...], training: bool) -> dict[str, jax.Array]:
        point, function = self._point(x), self._as_function(training)
        return jax_derivatives.tangent_compiled(function, self.arrays, point, tangents)

    def _point(self, x: np.ndarray) -> tuple[jax.Array, ...]:
        if not self.arrays:
            self._initialize(x)
        gamma, beta = (common.flat(self.arrays[self.paths[name]]) for name in ("gamma", "beta"))
        return jax_array(x), gamma, beta

    def _as_function(self, training: bool) -> LinenFunction:
        return LinenFunction(self.layer, self._mode(training), self.paths["gamma"], self.paths["beta"])

    @property
    def stats(self) -> Any:
        names = [name for name in ("moving_mean", "moving_var") if name in self.paths]
        return (lambda: {name: common.flat(self.arrays[self.paths[name]]) for name in names}) if names else None

    def state(self) -> Arrays:
        return dict(self.arrays)

    def load_state(self, state: Arrays) -> None:
        self.arrays = dict(state)
        self._find_paths()


@partial(jax.jit, static_argnums=(0, 2))
def _initial(layer, x, mode):
    """The arrays that linen makes for this x."""
    return traverse_util.flatten_dict(layer.init(jax.random.key(0), x, **dict(mode)), sep=".")


def _called(layer, x, arrays, mode, mask=None):
    """(y, the arrays that the call changed)."""
    variables = traverse_util.unflatten_dict(arrays, sep=".")
    given = {} if mask is None else {"mask": mask}
    y, updated = layer.apply(variables, x, mutable=["batch_stats"], **dict(mode), **given)
    return y, traverse_util.flatten_dict(updated, sep=".")


_forward = jax.jit(_called, static_argnums=(0, 3))


@partial(jax.jit, static_argnums=(0, 5))
def _gradients(layer, x, dy, parameters, kept, mode, mask=None):
    """(y, dx, the gradients of the parameters, the arrays that the call changed)."""

    def forward(x, parameters):
        return _called(layer, x, parameters | kept, mode, mask)  # a program within one is traced at length

    y, backward, updated = jax.vjp(forward, x, parameters, has_aux=True)
    dx, gradients = backward(dy)
    return y, dx, gradients, updated


@dataclass(frozen=True)
class LinenFunction:
    """y as a function of (arrays, x, gamma, beta); the statistics that the call changes are dropped.

    Two that are equal compile to one program: a layer that is made anew needs no other.
    """

    layer: Any
    mode: tuple[tuple[str, bool], ...]
    gamma: str
    """Its path among the arrays."""
    beta: str

    def __call__(self, arrays: Arrays, x: jax.Array, gamma: jax.Array, beta: jax.Array) -> jax.Array:
        named = {self.gamma: gamma, self.beta: beta}
        shaped = {path: value.reshape(arrays[path].shape) for path, value in named.items()}
        return _called(self.layer, x, arrays | shaped, self.mode)[0]
