"""Engines that run the ONNX operator in prediction: OpenVINO, and OpenCV's dnn module."""

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
        from onnx import numpy_helper

        x = inputs["x"]
        del model.graph.input[1:]
        for dimension, size in zip(model.graph.input[0].type.tensor_type.shape.dim, x.shape, strict=True):
            dimension.dim_value = size
        model.graph.initializer.extend(
            numpy_helper.from_array(array, name) for name, array in inputs.items() if name != "x"
        )
        net = cv2.dnn.readNetFromONNX(np.frombuffer(model.SerializeToString(), np.uint8))
        net.setInput(x)
        return [np.array(net.forward())]
