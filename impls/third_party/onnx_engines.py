"""Engines that run the ONNX operator in prediction: OpenVINO, OpenCV's dnn module and tract."""

import tempfile

import numpy as np

from impls.third_party.onnx_operator import Operator


class PredictionOnly(Operator):
    def train(self, x, dy):
        raise NotImplementedError("it has no training mode")


class OpenVino(PredictionOnly):
    def infer(self, model, inputs):
        import openvino

        core = openvino.Core()
        precise = {"INFERENCE_PRECISION_HINT": "f32"}  # else some processors compute in 16 bits
        compiled = core.compile_model(core.read_model(model.SerializeToString()), "CPU", precise)
        return [np.array(compiled(inputs)[0])]


class OpenCvDnn(PredictionOnly):
    """The parameters are constants of the graph, as in a trained model."""

    ranks = (2, 4)

    def infer(self, model, inputs):
        import cv2

        net = cv2.dnn.readNetFromONNX(np.frombuffer(with_constants(model, inputs), np.uint8))
        net.setInput(inputs["x"])
        return [np.array(net.forward())]


class Tract(PredictionOnly):
    """Its parameters are constants as well."""

    def infer(self, model, inputs):
        import tract

        with tempfile.NamedTemporaryFile(suffix=".onnx") as file:
            file.write(with_constants(model, inputs))
            file.flush()
            runnable = tract.onnx().load(file.name).into_model().into_runnable()
        return [result.to_numpy() for result in runnable.run([inputs["x"]])]


def with_constants(model, inputs):
    """The model as bytes, its inputs of one shape and all but x constants."""
    from onnx import numpy_helper

    del model.graph.input[1:]
    for dimension, size in zip(model.graph.input[0].type.tensor_type.shape.dim, inputs["x"].shape):  # noqa: B905
        dimension.dim_value = size
    model.graph.initializer.extend(
        numpy_helper.from_array(array, name) for name, array in inputs.items() if name != "x"
    )
    return model.SerializeToString()
