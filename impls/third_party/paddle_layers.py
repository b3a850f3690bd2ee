"""paddle.nn.BatchNorm1D to 3D, by rank."""

import contextlib

import numpy as np
import paddle
from paddle.incubate.autograd import jvp

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
    options = ("no_gamma", "no_beta", "no_statistics")

    def __init__(self, setup):
        paddle.set_device("gpu:0" if setup.device == "cuda" else "cpu")
        paddle.set_default_dtype(setup.dtype)
        given = {"epsilon": setup.eps, "momentum": setup.momentum}
        given = {name: value for name, value in given.items() if value is not None}
        absent = {"weight_attr": setup.gamma, "bias_attr": setup.beta}
        given |= {name: False for name, array in absent.items() if array is None}
        given |= {"use_global_stats": False} if setup.moving_mean is None else {}
        self.layer = LAYERS[setup.ndim](setup.num_features, **given, **self.layout(setup.ndim))
        self.parameters = {}
        for name, theirs, array in (("dgamma", self.layer.weight, setup.gamma), ("dbeta", self.layer.bias, setup.beta)):
            if array is not None:
                theirs.set_value(array)
                self.parameters[name] = theirs
        self.keeps_statistics = setup.moving_mean is not None
        if self.keeps_statistics:
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

    def frozen(self, x, dy):
        """In a model that trains, put into `eval()` after the model's `train()`."""
        paddle.nn.Sequential(self.layer).train()
        return self.eval(x, dy)

    def train_double(self, x, dy, *directions):
        self.layer.train()
        return self._twice(x, dy, directions)

    def eval_double(self, x, dy, *directions):
        self.layer.eval()
        return self._twice(x, dy, directions)

    def train_jvp(self, x, *tangents):
        self.layer.train()
        return self._tangent(x, tangents)

    def eval_jvp(self, x, *tangents):
        self.layer.eval()
        return self._tangent(x, tangents)

    def stats(self):
        if not self.keeps_statistics:
            return {}
        return {"moving_mean": self.layer._mean.numpy(), "moving_var": self.layer._variance.numpy()}

    def _step(self, x, dy):
        x = paddle.to_tensor(np.ascontiguousarray(x), stop_gradient=False)
        y = self.layer(x)
        gradients = paddle.grad(
            y, [x, *self.parameters.values()], paddle.to_tensor(np.ascontiguousarray(dy)), allow_unused=True
        )
        named = zip(("y", "dx", *self.parameters), (y, *gradients), strict=True)
        return {name: array.numpy() for name, array in named if array is not None}

    def _twice(self, x, dy, directions):
        x, dy = watched(x), watched(dy)
        gamma, beta = self.parameters.values()
        with unsupported():
            first = paddle.grad(self.layer(x), [x, gamma, beta], dy, create_graph=True)
            second = paddle.grad(first, [x, dy, gamma], [*map(paddle.to_tensor, directions)])
        return {name: array.numpy() for name, array in zip(("dx2", "ddy", "dgamma2"), second, strict=True)}

    def _tangent(self, x, tangents):
        held = dict(self.layer._parameters)

        def y_of(x, gamma, beta):
            self.layer._parameters.update(weight=gamma, bias=beta)
            return self.layer(x)

        try:
            with unsupported():
                _, ty = jvp(y_of, [watched(x), *self.parameters.values()], [*map(paddle.to_tensor, tangents)])
        finally:
            self.layer._parameters.update(held)
        return {"ty": ty.numpy()}


class ChannelsLast(PaddleBatchNorm):
    conventions = {**PaddleBatchNorm.conventions, "channel_axis": -1}
    ranks = (3, 4, 5)

    def layout(self, rank):
        return {"data_format": {3: "NLC", 4: "NHWC", 5: "NDHWC"}[rank]}


def watched(array):
    return paddle.to_tensor(np.ascontiguousarray(array), stop_gradient=False)


@contextlib.contextmanager
def unsupported():
    """What Paddle refuses: second derivatives in prediction, and its jvp, which asks for one of them alone."""
    try:
        yield
    except ValueError as error:
        raise NotImplementedError(f"Paddle has no second derivative for it: {error}") from error
