"""neuralnetlib's BatchNormalization, in NumPy."""

from neuralnetlib.layers import BatchNormalization


class NeuralnetlibBatchNorm:
    conventions = {"preset": "d2l", "channel_axis": -1}
    dtypes = ("float64", "float32")
    ranks = (2, 3, 4, 5)

    def __init__(self, setup):
        settings = {"epsilon": setup.eps, "momentum": setup.momentum}
        self.layer = BatchNormalization(**{name: value for name, value in settings.items() if value is not None})
        self.layer.gamma, self.layer.beta = setup.gamma, setup.beta
        self.layer.running_mean, self.layer.running_var = setup.moving_mean, setup.moving_var

    def train(self, x, dy):
        return self._step(x, dy, True)

    def eval(self, x, dy):
        return self._step(x, dy, False)

    def stats(self):
        return {"moving_mean": self.layer.running_mean, "moving_var": self.layer.running_var}

    def _step(self, x, dy, training):
        y = self.layer.forward_pass(x, training)
        dx = self.layer.backward_pass(dy)
        return {"y": y, "dx": dx, "dgamma": self.layer.d_gamma, "dbeta": self.layer.d_beta}
