"""MNN.nn.batch_norm, which trains on the CPU, float32 only. Its gradients are for its own optimizers."""

import MNN.expr
import MNN.nn
import numpy as np

NAMES = ("gamma", "beta", "moving_var", "moving_mean")
"""In the order of its parameters."""


class MnnBatchNorm:
    conventions = {"preset": "d2l", "single_value": "any", "default_momentum": 0.99}
    dtypes = ("float32",)
    ranks = (2, 4)

    def __init__(self, setup):
        settings = {"epsilon": setup.eps, "momentum": setup.momentum}
        settings = {name: value for name, value in settings.items() if value is not None}
        self.layer = MNN.nn.batch_norm(setup.num_features, setup.ndim, **settings)
        shape = (1, setup.num_features) + (1,) * (setup.ndim - 2)
        arrays = [variable(getattr(setup, name).reshape(shape)) for name in NAMES]
        self.layer.load_parameters(arrays)

    def train(self, x, dy):  # noqa: ARG002
        self.layer.train(True)
        return {"y": self._call(x)}

    def eval(self, x, dy):  # noqa: ARG002
        self.layer.train(False)
        return {"y": self._call(x)}

    def stats(self):
        return {name: np.ravel(value.read()) for name, value in zip(NAMES[2:], self.layer.parameters[2:])}  # noqa: B905

    def _call(self, x):
        return np.array(self.layer.forward(variable(x)).read())


def variable(array):
    kind = MNN.expr.NCHW
    return MNN.expr.const(np.ascontiguousarray(array), list(array.shape), kind, MNN.expr.float)
