"""A Keras 3 layer behind the contract, on whichever backend the process has (KERAS_BACKEND)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from harness.targets.wrap import common

BACKEND = keras.config.backend()
if BACKEND == "jax":
    import jax

    jax.config.update("jax_enable_x64", True)

POLICIES = {"bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}


def wrap(target: Callable[..., Any], given: dict[str, Any] | None = None) -> type:
    """A class or factory of a layer -> an implementation under test. `given`: settings to build it with."""
    native = isinstance(target, type) and target.__module__.startswith("keras.src.")
    dtypes = ("float64", "float32", *POLICIES) if native else None
    attributes = common.declared(target, conventions="keras" if native else None, dtypes=dtypes)
    members = {"target": staticmethod(target), "given": given or {}, "adapter_notes": {}, **attributes}
    return type(common.called(target), (KerasLayer,), members)


class KerasLayer:
    adapter = f"a Keras layer on {BACKEND}"
    adapter_notes: dict[str, str]
    target: Callable[..., Any]
    given: dict[str, Any]

    def __init__(self, setup: Any) -> None:
        arguments = common.arguments(self.target, setup, {"dtype": POLICIES.get(setup.dtype, setup.dtype)}, self.given)
        self.layer = self.target(**arguments)
        if not isinstance(self.layer, keras.Layer):
            raise common.AdapterError(f"{common.called(self.target)} made a {type(self.layer).__name__}, not a layer")
        common.set_numbers(self.layer, setup, arguments)
        axis = self.layer.axis if isinstance(getattr(self.layer, "axis", None), int) else -1
        shape: list[int | None] = [None] * setup.ndim
        shape[axis] = setup.num_features
        self.layer.build(tuple(shape))
        self.variables = {one.name: one for one in self.layer.weights}
        seen = {name: tuple(one.shape) for name, one in self.variables.items()}
        self.found = common.find_arrays(seen, setup.num_features)
        common.require(self.found, ("gamma", "beta"), seen, common.called(type(self.layer)))
        self.adapter_notes["wrapped"] = common.mapping_note(self.adapter, self.found)
        for ours, name in self.found.items():
            self.variables[name].assign(getattr(setup, ours).reshape(seen[name]))
        common.check_read_back(setup, {name: self._array(name) for name in self.found})
        self.stats = self._stats if "moving_mean" in self.found or "moving_var" in self.found else None

    def _array(self, ours: str) -> np.ndarray:
        return to_numpy(self.variables[self.found[ours]].value).ravel()

    def train(self, x: np.ndarray, dy: np.ndarray) -> dict[str, np.ndarray]:
        return self._step(x, dy, True)

    def eval(self, x: np.ndarray, dy: np.ndarray) -> dict[str, np.ndarray]:
        return self._step(x, dy, False)

    def train_no_grad(self, x: np.ndarray) -> dict[str, np.ndarray]:
        return {"y": to_numpy(self.layer(tensor(x), training=True))}

    def _step(self, x: np.ndarray, dy: np.ndarray, training: bool) -> dict[str, np.ndarray]:
        parameters = [self.variables[self.found[name]] for name in ("gamma", "beta")]
        values = GRADIENTS[BACKEND](self.layer, tensor(x), tensor(dy), parameters, training)
        y, dx, dgamma, dbeta = (None if value is None else to_numpy(value) for value in values)
        named = {"y": y, "dx": dx, "dgamma": dgamma, "dbeta": dbeta}
        return {n: v if n in ("y", "dx") else v.ravel() for n, v in named.items() if v is not None}

    def _stats(self) -> dict[str, np.ndarray]:
        return {name: self._array(name) for name in ("moving_mean", "moving_var") if name in self.found}

    def state(self) -> list[np.ndarray]:
        return [np.array(one) for one in self.layer.get_weights()]

    def load_state(self, state: list[np.ndarray]) -> None:
        self.layer.set_weights(state)


def tensor(x: np.ndarray) -> Any:
    return keras.ops.convert_to_tensor(np.ascontiguousarray(x), dtype=x.dtype.name)


def to_numpy(value: Any) -> np.ndarray:
    """bfloat16 goes by way of float32, which holds it exactly: torch has no such NumPy type."""
    if keras.backend.standardize_dtype(value.dtype) == "bfloat16":
        import ml_dtypes

        return keras.ops.convert_to_numpy(keras.ops.cast(value, "float32")).astype(ml_dtypes.bfloat16)
    return keras.ops.convert_to_numpy(value)


def _by_tensorflow(layer, x, dy, parameters, training):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=training)
    return y, *tape.gradient(y, [x, *(one.value for one in parameters)], output_gradients=dy)


def _by_torch(layer, x, dy, parameters, training):
    leaf = x.detach().requires_grad_()
    for one in parameters:
        one.value.grad = None
    y = layer(leaf, training=training)
    y.backward(dy)
    return y.detach(), leaf.grad, *(one.value.grad for one in parameters)


def _by_jax(layer, x, dy, parameters, training):
    def forward(x, values):
        return layer.stateless_call(values, [one.value for one in layer.non_trainable_variables], x, training=training)

    y, backward, kept = jax.vjp(forward, x, [one.value for one in layer.trainable_variables], has_aux=True)
    dx, gradients = backward(dy)
    for variable, value in zip(layer.non_trainable_variables, kept, strict=True):
        variable.assign(value)
    by_id = dict(zip(map(id, layer.trainable_variables), gradients, strict=True))
    return y, dx, *(by_id.get(id(one)) for one in parameters)


GRADIENTS = {"tensorflow": _by_tensorflow, "torch": _by_torch, "jax": _by_jax}
