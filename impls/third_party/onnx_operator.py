"""The ONNX operator BatchNormalization, run by ONNX Runtime or by onnx's reference evaluator, opset by opset.

Forward only: ONNX has no backward. Training has outputs from opset 14 on. float32 only: the format holds epsilon and
momentum in 32 bits, so that in float64 the numbers that a case asks for cannot be given.
"""

import numpy as np
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

INPUTS = ("x", "gamma", "beta", "moving_mean", "moving_var")


class Operator:
    conventions = "onnx"
    dtypes = ("float32",)
    opset = 15

    def __init__(self, setup):
        given = {"epsilon": setup.eps, "momentum": setup.momentum}
        self.numbers = {name: value for name, value in given.items() if value is not None}
        self.channels, self.ndim = setup.num_features, setup.ndim
        self.arrays = {name: getattr(setup, name) for name in INPUTS[1:]}

    def eval(self, x, dy):  # noqa: ARG002 - no backward
        return {"y": self._run(x, ["y"])[0]}

    def train(self, x, dy):  # noqa: ARG002
        if self.opset < 14:
            raise NotImplementedError(f"opset {self.opset} has no training outputs")
        y, mean, var = self._run(x, ["y", "new_mean", "new_var"], training_mode=1)
        self.arrays |= {"moving_mean": mean, "moving_var": var}
        return {"y": y}

    def stats(self):
        return {name: self.arrays[name] for name in INPUTS[3:]}

    def _run(self, x, outputs, **mode):
        node = helper.make_node("BatchNormalization", INPUTS, outputs, **self.numbers, **mode)
        shapes = {"x": [None] * self.ndim, "y": [None] * self.ndim}
        results, arguments = (
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, shapes.get(n, [self.channels])) for n in names]
            for names in (outputs, INPUTS)
        )
        opsets = [helper.make_opsetid("", self.opset)]
        model = helper.make_model(
            helper.make_graph([node], "g", arguments, results), opset_imports=opsets, ir_version=8
        )
        return self.infer(model, {"x": np.ascontiguousarray(x)} | self.arrays)

    def infer(self, model, inputs):
        raise NotImplementedError


class Reference(Operator):
    def infer(self, model, inputs):
        return ReferenceEvaluator(model).run(None, inputs)


class Runtime(Operator):
    transformed_as = "onnxruntime"
    optimization = "ORT_ENABLE_ALL"

    def infer(self, model, inputs):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # what it cannot run it raises as well
        options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, self.optimization)
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return session.run(None, inputs)


class Reference7(Reference):
    opset = 7


class Reference9(Reference):
    opset = 9


class Reference14(Reference):
    opset = 14


class Reference15(Reference):
    opset = 15


class Runtime7(Runtime):
    opset = 7


class Runtime9(Runtime):
    opset = 9


class Runtime14(Runtime):
    opset = 14


class Runtime15(Runtime):
    opset = 15
