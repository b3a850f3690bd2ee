# targets: onnx-reference-9
# title: prediction normalizes by mean and var already moved towards the batch: 0.9 old + 0.1 new
# documented: not found; a fix is proposed in onnx/onnx pull request 8442 (open), the question was asked in issue 5799
import numpy as np
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

names = ("x", "scale", "bias", "mean", "var")
x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in "xy")
rest = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1]) for n in names[1:]]
graph = helper.make_graph([helper.make_node("BatchNormalization", names, ["y"])], "g", [x, *rest], [y])
model = ReferenceEvaluator(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 9)]))
values = {"x": [[10], [12]], "scale": [1], "bias": [0], "mean": [0], "var": [1]}
(got,) = model.run(None, {n: np.asarray(v, np.float32) for n, v in values.items()})
assert abs(got - values["x"]).max() > 1
print(f"FINDING mean 0, var 1, x {values['x']}: y is {got.round(3).tolist()}, not x")
