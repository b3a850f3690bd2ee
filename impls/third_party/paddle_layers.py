"""paddle.nn.BatchNorm1D to 3D, by rank."""

import numpy as np
import paddle

LAYERS = {2: paddle.nn.BatchNorm1D, 3: paddle.nn.BatchNorm1D, 4: paddle.nn.BatchNorm2D, 5: paddle.nn.BatchNorm3D}


class PaddleBatchNorm:
    conventions = {
        **{"preset": "keras", "channel_axis": 1, "single_value": "any"},
        **{"default_eps": 1e-5, "default_momentum": 0.9},
    }
    dtypes = ("float64", "float32")
    ranks: tuple[int, ...] = (2, 3, 4, 5)
    devices = ("cpu", "cuda")
    library = "paddle"

    def __init__(self, setup):
        paddle.set_device("gpu:0" if setup.device == "cuda" else "cpu")
        paddle.set_default_dtype(setup.dtype)
        given = {"epsilon": setup.eps, "momentum": setup.momentum}
        given = {name: value for name, value in given.items() if value is not None}
        self.layer = LAYERS[setup.ndim](setup.num_features, **given, **self.layout(setup.ndim))
        self.layer.weight.set_value(setup.gamma)
        self.layer.bias.set_value(setup.beta)
        self.layer._mean.set_value(setup.moving_mean)
        self.layer._variance.set_value(setup.moving_var)

    def layout(self, rank):  # noqa: ARG002
        return {}

    def train(self, x, dy):
        self.layer.train()
        return self._step(x, dy)

    def eval(self, x, dy):
        self.layer.eval()
        return self._step(x, dy)

    def stats(self):
        return {"moving_mean": self.layer._mean.numpy(), "moving_var": self.layer._variance.numpy()}

    def _step(self, x, dy):
        x = paddle.to_tensor(np.ascontiguousarray(x), stop_gradient=False)
        y = self.layer(x)
        inputs = [x, self.layer.weight, self.layer.bias]
        gradients = paddle.grad(y, inputs, paddle.to_tensor(np.ascontiguousarray(dy)))
        arrays = (y, *gradients)
        return {name: a.numpy() for name, a in zip(("y", "dx", "dgamma", "dbeta"), arrays, strict=True)}


class ChannelsLast(PaddleBatchNorm):
    conventions = {**PaddleBatchNorm.conventions, "channel_axis": -1}
    ranks = (3, 4, 5)

    def layout(self, rank):
        return {"data_format": {3: "NLC", 4: "NHWC", 5: "NDHWC"}[rank]}
