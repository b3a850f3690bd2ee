"""aesara.tensor.nnet.batchnorm's functions, which Theano's descendant keeps, run by NumPy.

Its C compiler would take longer for a function than a case may take.
"""

import os

os.environ["AESARA_FLAGS"] = "cxx="

import aesara
import aesara.tensor as at
import numpy as np
from aesara.tensor.nnet.batchnorm import batch_normalization_test, batch_normalization_train

NAMES = ("x", "gamma", "beta", "moving_mean", "moving_var", "dy")


class AesaraBatchNorm:
    """Its least eps is 1e-5, which it rounds to floatX before it compares."""

    conventions = {
        **{"preset": "torch", "single_value": "any"},
        **{"default_eps": 1e-4, "default_momentum": 0.1},
    }
    dtypes = ("float64", "float32")
    ranks = (2, 3, 4, 5)

    def __init__(self, setup):
        self.settings = {"epsilon": setup.eps, "running_average_factor": setup.momentum}
        self.settings = {name: value for name, value in self.settings.items() if value is not None}
        if setup.eps is not None and np.dtype(setup.dtype).type(setup.eps) < 1e-5:
            raise NotImplementedError("epsilon must be at least 1e-5, in floatX")
        self.dtype, self.axes = setup.dtype, (0, *range(2, setup.ndim))
        self.gamma, self.beta = setup.gamma, setup.beta
        self.mean, self.var = setup.moving_mean, setup.moving_var
        self.functions = {}

    def train(self, x, dy):
        y, dx, dgamma, dbeta, self.mean, self.var = self._call(x, dy, True)
        return {"y": y, "dx": dx, "dgamma": dgamma, "dbeta": dbeta}

    def eval(self, x, dy):
        y, dx, dgamma, dbeta = self._call(x, dy, False)
        return {"y": y, "dx": dx, "dgamma": dgamma, "dbeta": dbeta}

    def stats(self):
        return {"moving_mean": self.mean, "moving_var": self.var}

    def _call(self, x, dy, training):
        if training not in self.functions:
            self.functions[training] = compiled(self.dtype, self.axes, training, tuple(self.settings.items()))
        return self.functions[training](x, self.gamma, self.beta, self.mean, self.var, dy)


def compiled(dtype, axes, training, settings):
    aesara.config.floatX = dtype
    kinds = dict.fromkeys(NAMES, 1) | dict.fromkeys(("x", "dy"), len(axes) + 1)
    x, gamma, beta, mean, var, dy = inputs = [at.tensor(dtype, (False,) * n, name=name) for name, n in kinds.items()]
    given = dict(settings)
    if training:
        y, _, _, *moved = batch_normalization_train(x, gamma, beta, axes, running_mean=mean, running_var=var, **given)
    else:
        given.pop("running_average_factor", None)
        y, moved = batch_normalization_test(x, gamma, beta, mean, var, axes, **given), []
    gradients = aesara.grad((y * dy).sum(), [x, gamma, beta])
    return aesara.function(inputs, [y, *gradients, *moved], on_unused_input="ignore")
