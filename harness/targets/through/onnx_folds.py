"""ONNX Runtime's optimizer on a convolution or product with a batch norm after it: it folds from the basic level on.

The graph has the two operators and constants; the optimizer sees what it would see of a trained model. What the batch
norm is folded into puts channels in another order (mixing.py).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.targets.results import Members
from harness.targets.through.mixing import Mixing, must_be_finite, reversing, reversing_in_groups

BATCH_NORM = "BatchNormalization"
UNOPTIMIZED = "ORT_DISABLE_ALL"


@dataclass(frozen=True)
class OnnxLinear:
    """The operator before the batch norm."""

    operator: str
    """ "Conv", "ConvTranspose" or "MatMul"; ONNX Runtime folds into no Gemm."""
    mixing: Callable[[int], Mixing]

    def node(self, mixing: Mixing, rank: int) -> tuple[Any, dict[str, np.ndarray]]:
        """From "x" to "z", with the constants that it takes."""
        from onnx import helper

        if self.operator == "MatMul":
            return helper.make_node("MatMul", ["x", "w"], ["z"]), {"w": mixing.weight.T}  # (K, C)
        weight = mixing.transposed() if self.operator == "ConvTranspose" else mixing.weight
        constants = {"w": weight.reshape(*weight.shape, *(1,) * (rank - 2)), "b": np.zeros(len(mixing.weight))}
        return helper.make_node(self.operator, ["x", "w", "b"], ["z"], group=mixing.groups), constants


LINEAR = {
    "fuse-conv": OnnxLinear("Conv", reversing),
    "fuse-grouped": OnnxLinear("Conv", reversing_in_groups),
    "fuse-transposed": OnnxLinear("ConvTranspose", reversing),
    "fuse-transposed-grouped": OnnxLinear("ConvTranspose", reversing_in_groups),
    "fuse-dense": OnnxLinear("MatMul", reversing),
}


def model_of(adapter: Any, linear: OnnxLinear, mixing: Mixing, rank: int) -> Any:
    """x (N, K, ...) -> y (N, C, ...), float32, in the operator's opset."""
    from onnx import TensorProto, helper, numpy_helper

    node, constants = linear.node(mixing, rank)
    norm = helper.make_node(BATCH_NORM, ["z", *adapter.arrays], ["y"], **adapter.numbers)
    sizes: list[Any] = [None] * (rank - 2)
    x, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, channels, *sizes])
        for name, channels in (("x", len(mixing.order)), ("y", len(mixing.weight)))
    )
    arrays = {**constants, **adapter.arrays}
    initializers = [numpy_helper.from_array(np.asarray(array, np.float32), name) for name, array in arrays.items()]
    graph = helper.make_graph([node, norm], "folded", [x], [y], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", adapter.opset)], ir_version=8)


def run(model: Any, x: np.ndarray, level: str) -> tuple[np.ndarray, list[str]]:
    """(y, the operators of the graph that the optimizer has left)."""
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what it cannot run it raises as well
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "optimized.onnx"
        options.optimized_model_filepath = str(file)
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        operators = [node.op_type for node in onnx.load(file).graph.node]
    return session.run(None, {"x": np.ascontiguousarray(x)})[0], operators


def predict(adapter: Any, x: np.ndarray, linear: OnnxLinear, level: str) -> np.ndarray:
    """y. Raises NotImplementedError for x that is not finite, and where the optimizer leaves the batch norm there."""
    must_be_finite(np.isfinite(x))
    mixing = linear.mixing(adapter.channels)
    dense = linear.operator == "MatMul"
    rows = np.moveaxis(x, 1, -1).reshape(-1, adapter.channels) if dense else x if x.ndim > 2 else x[..., None]
    model = model_of(adapter, linear, mixing, rows.ndim)
    y, operators = run(model, rows[:, list(mixing.order)], level)
    if level != UNOPTIMIZED and BATCH_NORM in operators:
        raise NotImplementedError(f"this ONNX Runtime folds no batch norm into {linear.operator}: {operators}")
    if not dense:
        return y.reshape(x.shape)
    return np.moveaxis(y.reshape(len(x), *x.shape[2:], adapter.channels), -1, 1)


def members(name: str, level: str) -> Members:
    """What a subclass of the target that runs ONNX Runtime has in place of its own."""
    linear = LINEAR[name]
    return {
        "eval": lambda self, x, dy: {"y": predict(self, x, linear, level)},  # noqa: ARG005 - no backward
        "folded": level != UNOPTIMIZED,
    }
