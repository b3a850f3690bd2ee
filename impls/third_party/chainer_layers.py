"""chainer.links.BatchNormalization, of the last release of Chainer (2022)."""

import chainer
import numpy as np

NAMES = ("y", "dx", "dgamma", "dbeta")


class ChainerBatchNorm:
    conventions = {
        "preset": "torch",
        "momentum": "keep",
        "single_value": "zero",
        "default_eps": 2e-5,
        "default_momentum": 0.9,
    }
    dtypes = ("float64", "float32", "float16")
    ranks = (2, 3, 4, 5)

    def __init__(self, setup):
        chainer.config.dtype = np.dtype(setup.dtype)
        settings = {"eps": setup.eps, "decay": setup.momentum}
        settings = {name: value for name, value in settings.items() if value is not None}
        self.layer = chainer.links.BatchNormalization(setup.num_features, dtype=setup.gamma.dtype, **settings)
        self.layer.gamma.array, self.layer.beta.array = setup.gamma.copy(), setup.beta.copy()
        self.layer.avg_mean, self.layer.avg_var = setup.moving_mean.copy(), setup.moving_var.copy()

    def train(self, x, dy):
        return self._step(x, dy, True)

    def eval(self, x, dy):
        return self._step(x, dy, False)

    def train_double(self, x, dy, *directions):
        return self._twice(x, dy, directions, True)

    def eval_double(self, x, dy, *directions):
        return self._twice(x, dy, directions, False)

    def stats(self):
        return {"moving_mean": self.layer.avg_mean, "moving_var": self.layer.avg_var}

    def _step(self, x, dy, training):
        x = chainer.Variable(np.ascontiguousarray(x))
        with chainer.using_config("train", training):
            y = self.layer(x)
        gradients = chainer.grad([y], [x, self.layer.gamma, self.layer.beta], [chainer.Variable(dy)])
        return {name: variable.array for name, variable in zip(NAMES, (y, *gradients))}  # noqa: B905 - Python 3.9

    def _twice(self, x, dy, directions, training):
        x, dy, *directions = (chainer.Variable(np.ascontiguousarray(a)) for a in (x, dy, *directions))
        with chainer.using_config("train", training):
            y = self.layer(x)
        gamma, beta = self.layer.gamma, self.layer.beta
        first = chainer.grad([y], [x, gamma, beta], [dy], enable_double_backprop=True)
        second = chainer.grad(first, [x, dy, gamma], directions)
        return {name: a.array for name, a in zip(("dx2", "ddy", "dgamma2"), second)}  # noqa: B905 - Python 3.9
