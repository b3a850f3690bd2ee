"""mxnet.gluon.nn.BatchNorm, of the last release of MXNet (2022)."""

import mxnet as mx
import numpy as np

NAMES = ("y", "dx", "dgamma", "dbeta")


class MxnetBatchNorm:
    conventions = {
        **{"preset": "keras", "channel_axis": 1, "single_value": "any"},
        **{"default_eps": 1e-5, "default_momentum": 0.9},
    }
    dtypes = ("float64", "float32", "float16")
    ranks = (2, 3, 4, 5)

    def __init__(self, setup):
        settings = {"epsilon": setup.eps, "momentum": setup.momentum}
        settings = {name: value for name, value in settings.items() if value is not None}
        self.layer = mx.gluon.nn.BatchNorm(in_channels=setup.num_features, **settings)
        self.layer.initialize()
        self.layer.cast(setup.gamma.dtype.name)
        for parameter, start in (
            (self.layer.gamma, setup.gamma),
            (self.layer.beta, setup.beta),
            (self.layer.running_mean, setup.moving_mean),
            (self.layer.running_var, setup.moving_var),
        ):
            parameter.set_data(mx.nd.array(start, dtype=start.dtype))

    def train(self, x, dy):
        return self._step(x, dy, True)

    def eval(self, x, dy):
        return self._step(x, dy, False)

    def stats(self):
        means = self.layer.running_mean, self.layer.running_var
        return {name: p.data().asnumpy() for name, p in zip(("moving_mean", "moving_var"), means)}  # noqa: B905

    def _step(self, x, dy, training):
        x = mx.nd.array(np.ascontiguousarray(x), dtype=x.dtype)
        x.attach_grad()
        with mx.autograd.record(train_mode=training):
            y = self.layer(x)
        y.backward(mx.nd.array(dy, dtype=dy.dtype), train_mode=training)
        arrays = y, x.grad, self.layer.gamma.grad(), self.layer.beta.grad()
        return {name: array.asnumpy() for name, array in zip(NAMES, arrays)}  # noqa: B905 - Python 3.9
