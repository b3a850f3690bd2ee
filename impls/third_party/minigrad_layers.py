"""minigrad's BatchNorm1D and BatchNorm2D, in NumPy, by rank."""

from minigrad import Tensor
from minigrad.nn import BatchNorm1D, BatchNorm2D


class MinigradBatchNorm:
    conventions = {"preset": "torch", "moving_var": "biased", "single_value": "zero"}
    dtypes = ("float64", "float32")
    ranks = (2, 3, 4)

    def __init__(self, setup):
        settings = {name: value for name in ("eps", "momentum") if (value := getattr(setup, name)) is not None}
        self.layer = (BatchNorm2D if setup.ndim == 4 else BatchNorm1D)(setup.num_features, **settings)
        self.layer.gamma = Tensor(setup.gamma, requires_grad=True)
        self.layer.beta = Tensor(setup.beta, requires_grad=True)
        self.layer.running_mean, self.layer.running_var = setup.moving_mean, setup.moving_var

    def train(self, x, dy):
        self.layer.train()
        return self._step(x, dy)

    def eval(self, x, dy):
        self.layer.eval()
        return self._step(x, dy)

    def stats(self):
        return {"moving_mean": self.layer.running_mean, "moving_var": self.layer.running_var}

    def _step(self, x, dy):
        self.layer.zero_grad()
        x = Tensor(x, requires_grad=True)
        y = self.layer(x)
        (y * Tensor(dy)).sum().backward()
        return {"y": y.data, "dx": x.grad, "dgamma": self.layer.gamma.grad, "dbeta": self.layer.beta.grad}
