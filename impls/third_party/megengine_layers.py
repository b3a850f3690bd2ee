"""megengine.module.BatchNorm1d and 2d, float32 only."""

import megengine
import numpy as np
from megengine.autodiff import GradManager
from megengine.module import BatchNorm1d, BatchNorm2d

CLASSES = {2: BatchNorm1d, 3: BatchNorm1d, 4: BatchNorm2d}
NAMES = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_var": "running_var"}


class MegengineBatchNorm:
    conventions = {"preset": "d2l", "moving_var": "unbiased", "single_value": "any"}
    dtypes = ("float32",)
    ranks = tuple(CLASSES)

    def __init__(self, setup):
        given = {"eps": setup.eps, "momentum": setup.momentum}
        given = {name: value for name, value in given.items() if value is not None}
        self.layer = CLASSES[setup.ndim](setup.num_features, **given)
        for ours, theirs in NAMES.items():
            held = getattr(self.layer, theirs)
            held[...] = tensor(getattr(setup, ours).reshape(held.shape))

    def train(self, x, dy):
        self.layer.train()
        return self._step(tensor(x), tensor(dy))

    def eval(self, x, dy):
        self.layer.eval()
        return self._step(tensor(x), tensor(dy))

    def train_double(self, x, dy, *directions):
        self.layer.train()
        return self._twice(tensor(x), tensor(dy), directions)

    def eval_double(self, x, dy, *directions):
        self.layer.eval()
        return self._twice(tensor(x), tensor(dy), directions)

    def stats(self):
        return {ours: getattr(self.layer, NAMES[ours]).numpy().ravel() for ours in ("moving_mean", "moving_var")}

    def _step(self, x, dy):
        inputs = {"dx": x, "dgamma": self.layer.weight, "dbeta": self.layer.bias}
        for held in inputs.values():
            held.grad = None
        manager = GradManager().attach([*inputs.values()])
        with manager:
            y = self.layer(x)
            manager.backward(y, dy)
        gradients = {name: held.grad.numpy() for name, held in inputs.items()}
        return {"y": y.numpy()} | {name: a if name == "dx" else a.ravel() for name, a in gradients.items()}

    def _twice(self, x, dy, directions):
        gamma, beta = self.layer.weight, self.layer.bias
        for held in (x, dy, gamma, beta):
            held.grad = None
        outer, inner = GradManager().attach([x, dy, gamma]), GradManager().attach([x, gamma, beta])
        with outer:
            with inner:
                inner.backward(self.layer(x), dy)
            first = [held.grad for held in (x, gamma, beta)]
            for held in (x, gamma, beta):
                held.grad = None
            along = [tensor(a.reshape(gradient.shape)) for a, gradient in zip(directions, first, strict=True)]
            outer.backward(first, along)
        dx2, ddy, dgamma2 = (held.grad.numpy() for held in (x, dy, gamma))
        return {"dx2": dx2, "ddy": ddy, "dgamma2": dgamma2.ravel()}


def tensor(array):
    return megengine.Tensor(np.ascontiguousarray(array))
