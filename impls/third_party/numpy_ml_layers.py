"""numpy_ml's BatchNorm1D and BatchNorm2D, by rank. A layer that is not trainable predicts, and has no backward.

Of 2020: Python 3.10 took away a name that it imports.
"""

import collections
import collections.abc

import numpy as np

collections.Hashable = collections.abc.Hashable  # type: ignore[attr-defined]

from numpy_ml.neural_nets.layers import BatchNorm1D, BatchNorm2D


class NumpyMlBatchNorm:
    conventions = {"preset": "d2l", "channel_axis": -1}
    dtypes = ("float64",)
    ranks = (2, 4)

    def __init__(self, setup):
        settings = {"epsilon": setup.eps, "momentum": setup.momentum}
        settings = {name: value for name, value in settings.items() if value is not None}
        self.layer = (BatchNorm1D if setup.ndim == 2 else BatchNorm2D)(**settings)
        self.layer.forward(np.zeros((2,) * (setup.ndim - 1) + (setup.num_features,)))  # it learns its width here
        self.layer.flush_gradients()
        names = {"scaler": "gamma", "intercept": "beta", "running_mean": "moving_mean", "running_var": "moving_var"}
        for theirs, ours in names.items():
            self.layer.parameters[theirs] = getattr(setup, ours).copy()

    def train(self, x, dy):
        self.layer.trainable = True
        y, dx = self.layer.forward(x), self.layer.backward(dy)
        dgamma, dbeta = self.layer.gradients["scaler"], self.layer.gradients["intercept"]
        self.layer.flush_gradients()
        return {"y": y, "dx": dx, "dgamma": dgamma, "dbeta": dbeta}

    def eval(self, x, dy):  # noqa: ARG002
        self.layer.trainable = False
        return {"y": self.layer.forward(x, retain_derived=False)}

    def stats(self):
        return {f"moving_{name}": self.layer.parameters[f"running_{name}"] for name in ("mean", "var")}
