"""A model of LiteRT (TensorFlow Lite), run by its interpreter."""

from __future__ import annotations

from typing import Any

import numpy as np


def run(model: bytes, x: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """(y, the operators of the model). The model has one input and one output, and any batch size.

    Raises NotImplementedError, with its reason, for a model that the interpreter does not take.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter: Any = Interpreter(model_content=model, num_threads=1)
    asked = interpreter.get_input_details()[0]
    place, kind = asked["index"], np.dtype(asked["dtype"])
    if kind != x.dtype:
        raise NotImplementedError(f"the converted model takes {kind.name}, not {x.dtype.name}")
    try:
        interpreter.resize_tensor_input(place, x.shape)
        interpreter.allocate_tensors()
    except Exception as error:
        raise NotImplementedError(f"LiteRT refuses the model: {str(error).strip()[:120]}") from error
    interpreter.set_tensor(place, np.ascontiguousarray(x))
    interpreter.invoke()
    operators = [operator["op_name"] for operator in interpreter._get_ops_details()]
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"]), operators
