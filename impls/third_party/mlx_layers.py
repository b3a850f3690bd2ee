"""mlx.nn.BatchNorm on the CPU."""

import mlx.core as mx
import mlx.nn as nn
import numpy as np

mx.set_default_device(mx.cpu)


class MlxBatchNorm:
    conventions = {"preset": "torch", "channel_axis": -1}
    dtypes = ("float64", "float32")  # with 16-bit input its float32 parameters promote y
    ranks = (2, 3, 4)

    def __init__(self, setup):
        given = {name: value for name in ("eps", "momentum") if (value := getattr(setup, name)) is not None}
        self.layer = nn.BatchNorm(setup.num_features, **given)
        names = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_var"}
        for theirs, ours in names.items():
            setattr(self.layer, theirs, array(getattr(setup, ours)))

    def train(self, x, dy):
        self.layer.train()
        return self._step(array(x), array(dy))

    def eval(self, x, dy):
        self.layer.eval()
        return self._step(array(x), array(dy))

    def _step(self, x, dy):
        def forward(x, weight, bias):
            self.layer.weight, self.layer.bias = weight, bias
            return self.layer(x)

        parameters = self.layer.weight, self.layer.bias
        running = self.layer.running_mean, self.layer.running_var
        (y,), gradients = mx.vjp(forward, [x, *parameters], [dy])
        self.layer.running_mean, self.layer.running_var = running  # what is traced inside vjp is not kept
        self.layer.weight, self.layer.bias = parameters
        self.layer(x)
        return {n: np.array(a) for n, a in zip(("y", "dx", "dgamma", "dbeta"), (y, *gradients), strict=True)}

    def stats(self):
        return {"moving_mean": np.array(self.layer.running_mean), "moving_var": np.array(self.layer.running_var)}


def array(values):
    """In their own dtype: left to itself, mlx takes float64 for float32."""
    return mx.array(values, dtype=getattr(mx, values.dtype.name))
