"""nnabla.functions.batch_normalization, float32 only."""

import nnabla as nn
import numpy as np
from nnabla.functions import batch_normalization

NAMES = ("beta", "gamma", "moving_mean", "moving_var")
"""In the order of its arguments."""


class NnablaBatchNorm:
    conventions = {"preset": "d2l", "moving_var": "unbiased", "single_value": "any"}
    dtypes = ("float32",)
    ranks = (2, 3, 4, 5)

    def __init__(self, setup):
        given = {"eps": setup.eps, "decay_rate": setup.momentum}
        self.settings = {name: value for name, value in given.items() if value is not None}
        shape = (1, setup.num_features) + (1,) * (setup.ndim - 2)
        self.variables = {
            name: nn.Variable.from_numpy_array(getattr(setup, name).reshape(shape), need_grad=name in NAMES[:2])
            for name in NAMES
        }

    def train(self, x, dy):
        return self._step(x, dy, batch_stat=True)

    def eval(self, x, dy):
        return self._step(x, dy, batch_stat=False)

    def train_double(self, x, dy, *directions):
        return self._twice(x, dy, directions, batch_stat=True)

    def eval_double(self, x, dy, *directions):
        return self._twice(x, dy, directions, batch_stat=False)

    def stats(self):
        return {name: np.ravel(self.variables[name].d.copy()) for name in NAMES[2:]}

    def _step(self, x, dy, batch_stat):
        x = nn.Variable.from_numpy_array(np.ascontiguousarray(x), need_grad=True)
        inputs = {"x": x} | {name: self.variables[name] for name in NAMES}
        for variable in inputs.values():
            variable.grad.zero()
        y = batch_normalization(*inputs.values(), batch_stat=batch_stat, **self.settings)
        y.forward()
        y.backward(np.ascontiguousarray(dy))
        gradients = {f"d{name}": inputs[name].g.copy() for name in ("x", "gamma", "beta")}
        return {"y": y.d.copy()} | {name: a if name == "dx" else np.ravel(a) for name, a in gradients.items()}

    def _twice(self, x, dy, directions, batch_stat):
        """The moving statistics are copies: what is computed in between would move them again."""
        x, dy = (nn.Variable.from_numpy_array(np.ascontiguousarray(a), need_grad=True) for a in (x, dy))
        beta, gamma, *moving = (self.variables[name] for name in NAMES)
        aside = [nn.Variable.from_numpy_array(statistic.d.copy()) for statistic in moving]
        y = batch_normalization(x, beta, gamma, *aside, batch_stat=batch_stat, **self.settings)
        first = nn.grad([y], [x, gamma, beta], grad_outputs=[dy])
        along = [
            nn.Variable.from_numpy_array(np.ascontiguousarray(a).reshape(gradient.shape))
            for a, gradient in zip(directions, first, strict=True)
        ]
        second = nn.grad(first, [x, dy, gamma], grad_outputs=along)
        nn.forward_all(second)
        dx2, ddy, dgamma2 = (gradient.d.copy() for gradient in second)
        return {"dx2": dx2, "ddy": ddy, "dgamma2": np.ravel(dgamma2)}
