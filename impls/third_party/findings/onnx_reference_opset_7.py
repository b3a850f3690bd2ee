# targets: onnx-reference-7
# title: the reference evaluator cannot run BatchNormalization of opset 7
# documented: not found in its API page or its issues
import numpy as np
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

names = ("x", "scale", "bias", "mean", "var")
x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in "xy")
rest = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [3]) for n in names[1:]]
graph = helper.make_graph([helper.make_node("BatchNormalization", names, ["y"])], "g", [x, *rest], [y])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 7)])
try:
    ReferenceEvaluator(model).run(None, {n: np.ones((2, 3) if n == "x" else 3, np.float32) for n in names})
except TypeError as error:
    print("FINDING", str(error)[:100])
