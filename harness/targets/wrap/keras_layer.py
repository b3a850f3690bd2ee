"""A Keras 3 layer behind the contract, on whichever backend the process has (KERAS_BACKEND)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from harness.targets.results import Keywords
from harness.targets.wrap import common, keras_derivatives, options
from harness.targets.wrap.differentiable import DifferentiableAdapter

BACKEND = keras.config.backend()
if BACKEND == "jax":
    import jax

    jax.config.update("jax_enable_x64", True)

POLICIES = {"bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}


def wrap(target: Callable[..., Any], given: Keywords | None = None) -> type:
    """A class or factory of a layer -> an implementation under test. given: settings to build it with."""
    native = isinstance(target, type) and target.__module__.startswith("keras.src.")
    defaults = {"conventions": "keras", "dtypes": ("float64", "float32", *POLICIES)} if native else {}
    adapter = common.adapter_for(KerasLayer, target, given, **defaults)
    adapter.masked = isinstance(target, type) and options.takes_mask(target.call)  # type: ignore[attr-defined]
    return adapter


class KerasLayer(DifferentiableAdapter):
    """One layer, called with `training=`; 16-bit x goes by a mixed-precision policy.

    Raises common.AdapterError where the target makes no Keras layer, or one without gamma or beta.
    """

    adapter = f"a Keras layer on {BACKEND}"
    options = options.ALL
    framework = "keras"
    batch_norm = keras.layers.BatchNormalization
    devices = ("cpu", "cuda")
    library = BACKEND

    def __init__(self, setup: Any) -> None:
        self.device = setup.device
        with scope(self.device):
            self._build(setup)

    def _build(self, setup: Any) -> None:
        others = {"dtype": POLICIES.get(setup.dtype, setup.dtype), **options.keywords(self.target, setup)}
        arguments = common.arguments(self.target, setup, others, self.given)
        self.layer = self.target(**arguments)
        if not isinstance(self.layer, keras.Layer):
            raise common.AdapterError(f"{common.called(self.target)} made a {type(self.layer).__name__}, not a layer")
        self.note_replaced(setup, common.set_numbers(self.layer, setup, arguments))
        axis = self.layer.axis if isinstance(getattr(self.layer, "axis", None), int) else -1
        shape: list[int | None] = [None] * setup.ndim
        shape[axis] = setup.num_features
        self.layer.build(tuple(shape))
        self.variables = {variable.name: variable for variable in self.layer.weights}
        shapes = {name: tuple(variable.shape) for name, variable in self.variables.items()}
        self.paths = common.find_arrays(shapes, setup.num_features)
        self.paths = options.without_absent(self.paths, setup)
        common.require(self.paths, options.built_with(setup), shapes, common.called(type(self.layer)))
        self.note_mapping(self.paths)
        for ours, name in self.paths.items():
            self.variables[name].assign(getattr(setup, ours).reshape(shapes[name]))
        common.check_read_back(setup, {name: self._array(name) for name in self.paths})
        self.stats = self._stats if "moving_mean" in self.paths or "moving_var" in self.paths else None

    def _array(self, ours: str) -> np.ndarray:
        return to_numpy(self.variables[self.paths[ours]].value).ravel()

    def train(self, x: np.ndarray, dy: np.ndarray, mask: np.ndarray | None = None) -> dict[str, np.ndarray]:
        self._freeze(False)
        return self._step(x, dy, True, *([] if mask is None else [mask]))

    def eval(self, x: np.ndarray, dy: np.ndarray, mask: np.ndarray | None = None) -> dict[str, np.ndarray]:
        return self._step(x, dy, False, *([] if mask is None else [mask]))

    def frozen(self, x: np.ndarray, dy: np.ndarray) -> dict[str, np.ndarray]:
        """`trainable = False`, which stays when the model switches modes; gamma and beta have no gradient then."""
        self._freeze(True)
        return self._step(x, dy, True)

    def _freeze(self, frozen: bool) -> None:
        if self.layer.trainable is frozen:
            self.layer.trainable = not frozen

    def train_no_grad(self, x: np.ndarray) -> dict[str, np.ndarray]:
        self._freeze(False)
        with scope(self.device):
            return {"y": to_numpy(self.layer(tensor(x), training=True))}

    def _step(
        self, x: np.ndarray, dy: np.ndarray, training: bool, mask: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        names = [name for name in ("gamma", "beta") if name in self.paths]
        parameters = [self.variables[self.paths[name]] for name in names]
        with scope(self.device):
            mode = {"training": training} | ({} if mask is None else {"mask": tensor(mask)})
            values = GRADIENTS[BACKEND](self.layer, tensor(x), tensor(dy), parameters, mode)
        if place_of(values[0]) != self.device:
            raise common.AdapterError(f"y is on {place_of(values[0])}, not on {self.device}")
        arrays = [None if value is None else to_numpy(value) for value in values]
        named = dict(zip(("y", "dx", *(f"d{name}" for name in names)), arrays))  # noqa: B905 - Python 3.9
        return {n: v if n in ("y", "dx") else v.ravel() for n, v in named.items() if v is not None}

    def _twice(
        self, x: np.ndarray, dy: np.ndarray, directions: tuple[np.ndarray, ...], training: bool
    ) -> dict[str, np.ndarray]:
        self._freeze(False)
        with scope(self.device):
            along = self._directions(directions)
            result = keras_derivatives.twice(self.layer, self._point(x), tensor(dy), along, training)
            values = {name: to_numpy(value) for name, value in result.items()}
        return {name: value.ravel() if name == "dgamma2" else value for name, value in values.items()}

    def _tangent(self, x: np.ndarray, tangents: tuple[np.ndarray, ...], training: bool) -> dict[str, np.ndarray]:
        self._freeze(False)
        with scope(self.device):
            along = self._directions(tangents)
            result = keras_derivatives.tangent(self.layer, self._point(x), along, training)
            return {name: to_numpy(value) for name, value in result.items()}

    def _point(self, x: np.ndarray) -> tuple[Any, ...]:
        return tensor(x), *(self.variables[self.paths[name]] for name in ("gamma", "beta"))

    def _directions(self, directions: tuple[np.ndarray, ...]) -> list[Any]:
        shapes = [directions[0].shape, *(tuple(variable.shape) for variable in self._point(directions[0])[1:])]
        return [tensor(a.reshape(shape)) for a, shape in zip(directions, shapes)]  # noqa: B905 - Python 3.9

    def _stats(self) -> dict[str, np.ndarray]:
        return {name: self._array(name) for name in ("moving_mean", "moving_var") if name in self.paths}

    def state(self) -> list[np.ndarray]:
        return [np.array(weight) for weight in self.layer.get_weights()]

    def load_state(self, state: list[np.ndarray]) -> None:
        self.layer.set_weights(state)


def scope(device: str) -> Any:
    """A context in which Keras computes on "cpu" or "cuda"; left to itself it takes a GPU where its backend has one."""
    if BACKEND == "torch":
        return keras.device(
            device
        )  # "cpu:0" is another name to torch than "cpu", and Keras copies from one to the other
    return keras.device("gpu:0" if device == "cuda" else "cpu:0")


def place_of(y: Any) -> str:
    """Where the tensor of the backend is: "cpu" or "cuda"."""
    if BACKEND == "torch":
        return y.device.type
    name = y.device if BACKEND == "tensorflow" else next(iter(y.devices())).platform
    return "cuda" if "gpu" in name.lower() else "cpu"


def tensor(x: np.ndarray) -> Any:
    return keras.ops.convert_to_tensor(np.ascontiguousarray(x), dtype=x.dtype.name)


def to_numpy(value: Any) -> np.ndarray:
    """bfloat16 goes by way of float32, which holds it exactly: torch has no such NumPy type."""
    if keras.backend.standardize_dtype(value.dtype) == "bfloat16":
        import ml_dtypes

        return keras.ops.convert_to_numpy(keras.ops.cast(value, "float32")).astype(ml_dtypes.bfloat16)
    return keras.ops.convert_to_numpy(value)


def _by_tensorflow(layer, x, dy, parameters, mode):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, **mode)
    return y, *tape.gradient(y, [x, *(parameter.value for parameter in parameters)], output_gradients=dy)


def _by_torch(layer, x, dy, parameters, mode):
    leaf = x.detach().requires_grad_()
    for parameter in parameters:
        parameter.value.grad = None
    y = layer(leaf, **mode)
    y.backward(dy)
    return y.detach(), leaf.grad, *(parameter.value.grad for parameter in parameters)


def _by_jax(layer, x, dy, parameters, mode):
    constants = [variable.value for variable in layer.non_trainable_variables]

    def forward(x, values):
        return layer.stateless_call(values, constants, x, **mode)

    values = [variable.value for variable in layer.trainable_variables]
    y, backward, kept = jax.vjp(forward, x, values, has_aux=True)
    dx, gradients = backward(dy)
    for variable, value in zip(layer.non_trainable_variables, kept):  # noqa: B905 - Python 3.9
        variable.assign(value)
    by_id = dict(zip(map(id, layer.trainable_variables), gradients))  # noqa: B905 - Python 3.9
    return y, dx, *(by_id.get(id(parameter)) for parameter in parameters)


GRADIENTS = {"tensorflow": _by_tensorflow, "torch": _by_torch, "jax": _by_jax}
