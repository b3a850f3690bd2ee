"""What is done to a Keras layer. Each function takes the adapter whose layer is about to be called."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from harness.targets.results import Members
from harness.targets.through import keras_folds
from harness.targets.through.keras_exports import FORMATS, exported
from harness.targets.through.transformation import GRADIENTS, Transformation
from harness.targets.wrap.keras_layer import KerasLayer, tensor, to_numpy


def save_load(adapter: KerasLayer, x: np.ndarray) -> None:
    """A model of this layer alone, saved to a .keras file and loaded; the loaded layer goes on in its place."""
    inputs = keras.Input(batch_shape=(None, *x.shape[1:]), dtype=x.dtype.name)
    model = keras.Model(inputs, adapter.layer(inputs, training=False))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.keras"
        model.save(file)
        own = type(adapter.layer)
        loaded = keras.saving.load_model(file, custom_objects={own.__name__: own}, compile=False)
    adapter.layer = next(layer for layer in loaded.layers if isinstance(layer, own))
    adapter.variables = {variable.name: variable for variable in adapter.layer.weights}


def from_config(adapter: KerasLayer, x: np.ndarray) -> None:
    """A new layer from get_config, built, with the weights of the old one."""
    fresh = type(adapter.layer).from_config(adapter.layer.get_config())
    fresh.build(x.shape)
    fresh.set_weights(adapter.layer.get_weights())
    adapter.layer = fresh
    adapter.variables = {variable.name: variable for variable in fresh.weights}


def mixed_precision(adapter: KerasLayer, x: np.ndarray) -> None:
    """Under the global policy mixed_bfloat16: a layer that was built with its own dtype keeps it."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        fresh = type(adapter.layer).from_config(adapter.layer.get_config())
        fresh.build(x.shape)
    finally:
        keras.config.set_dtype_policy("float32")
    fresh.set_weights(adapter.layer.get_weights())
    adapter.layer = fresh
    adapter.variables = {variable.name: variable for variable in fresh.weights}


BEFORE: dict[str, Callable[[KerasLayer, np.ndarray], None]] = {
    "save-load": save_load,
    "from-config": from_config,
    "mixed-precision": mixed_precision,
}


def predicted(model: keras.Model, x: np.ndarray, jit_compile: bool) -> Any:
    """By Model.predict, compiled by XLA or not. It rounds float64 x to what Keras calls floatx, which is set here."""
    model.compile(jit_compile=jit_compile)
    floatx = keras.config.floatx()
    keras.config.set_floatx("float64" if x.dtype == np.float64 else floatx)
    try:
        return tensor(np.asarray(model.predict(x, batch_size=len(x), verbose=0)))
    finally:
        keras.config.set_floatx(floatx)


PREDICTS: dict[str, Callable[[keras.Model, np.ndarray], Any]] = {
    "jit": partial(predicted, jit_compile=True),
    "nojit": partial(predicted, jit_compile=False),
    **{name: partial(exported, name=name) for name in FORMATS},
}


def prediction(name: str) -> Callable[..., dict[str, np.ndarray]]:
    """The step of a transformation that predicts alone, by a model of this layer."""

    def step(adapter: KerasLayer, x: np.ndarray, dy: np.ndarray, training: bool) -> dict[str, np.ndarray]:  # noqa: ARG001
        inputs = keras.Input(batch_shape=(None, *x.shape[1:]), dtype=x.dtype.name)
        model = keras.Model(inputs, adapter.layer(inputs))
        return {"y": to_numpy(PREDICTS[name](model, x))}

    return step


def members(transformation: Transformation) -> Members:
    """What a subclass of KerasLayer has in place of its own."""
    fold, _, by = transformation.name.rpartition("-")
    if by in keras_folds.BY and fold in keras_folds.LINEAR:
        return keras_folds.members(fold, by)
    if GRADIENTS not in transformation.keeps:
        return {"_step": prediction(transformation.name)}
    before = BEFORE[transformation.name]

    def step(self: KerasLayer, x: np.ndarray, dy: np.ndarray, training: bool) -> dict[str, np.ndarray]:
        before(self, x)
        return KerasLayer._step(self, x, dy, training)

    def train_no_grad(self: KerasLayer, x: np.ndarray) -> dict[str, np.ndarray]:
        before(self, x)
        return KerasLayer.train_no_grad(self, x)

    return {"_step": step, "train_no_grad": train_no_grad}
