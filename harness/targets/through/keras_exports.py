"""Model.export, a format each, run by what the format is for."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from harness.targets.through import litert
from harness.targets.wrap.keras_layer import BACKEND, tensor, to_numpy

ONNX_TYPES = {"float32": "float", "float64": "double"}


def by_tensorflow(file: Path, x: np.ndarray) -> np.ndarray:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(file))  # by its name: what it serves does not keep its variables
    return loaded.serve(tf.constant(x)).numpy()


def by_torch(file: Path, x: np.ndarray) -> np.ndarray:
    import torch

    return to_numpy(torch.export.load(str(file)).module()(tensor(x)).detach())


def by_onnx_runtime(file: Path, x: np.ndarray) -> np.ndarray:
    import onnxruntime

    if x.dtype.name == "bfloat16":
        raise NotImplementedError("ONNX Runtime takes NumPy's arrays, which have no bfloat16")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what it cannot run it raises as well
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    asked = session.get_inputs()[0]
    if asked.type != f"tensor({ONNX_TYPES.get(x.dtype.name, x.dtype.name)})":
        raise NotImplementedError(f"the exported model takes {asked.type}, not {x.dtype.name}")
    return session.run(None, {asked.name: x})[0]


def by_litert(file: Path, x: np.ndarray) -> np.ndarray:
    return litert.run(file.read_bytes(), x)[0]


@dataclass(frozen=True)
class Format:
    name: str
    """What Keras calls it."""
    suffix: str
    run: Callable[[Path, np.ndarray], np.ndarray]


FORMATS = {
    "export": Format("tf_saved_model", "", by_tensorflow),
    "export-torch": Format("torch", ".pt2", by_torch),
    "export-onnx": Format("onnx", ".onnx", by_onnx_runtime),
    "export-litert": Format("litert", ".tflite", by_litert),
}


def exported(model: keras.Model, x: np.ndarray, name: str) -> Any:
    """y of the exported model. Raises NotImplementedError where Keras does not export it so on its backend."""
    form = FORMATS[name]
    model(tensor(x), training=False)  # some formats are of a model that was called before
    signature = [keras.InputSpec(x.dtype.name, x.shape)] if BACKEND == "torch" else None  # else it takes a batch of 1
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"model{form.suffix}"
        try:
            model.export(str(file), format=form.name, verbose=False, input_signature=signature)
        except Exception as error:
            reason = f"{type(error).__name__}: {str(error).strip()[:120]}"
            raise NotImplementedError(f"Keras on {BACKEND} does not export it as {form.name}: {reason}") from error
        return tensor(form.run(file, np.ascontiguousarray(x)))
