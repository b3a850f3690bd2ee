"""mayini.nn.BatchNorm1d, in NumPy."""

import mayini as mn


class MayiniBatchNorm:
    conventions = {"preset": "torch", "moving_var": "biased", "single_value": "zero"}
    dtypes = ("float32",)
    ranks = (2,)

    def __init__(self, setup):
        settings = {name: value for name in ("eps", "momentum") if (value := getattr(setup, name)) is not None}
        self.layer = mn.nn.BatchNorm1d(setup.num_features, **settings)
        self.layer.gamma.data, self.layer.beta.data = setup.gamma, setup.beta
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
        self.layer.gamma.grad = self.layer.beta.grad = None
        x = mn.Tensor(x, requires_grad=True)
        y = self.layer(x)
        (y * mn.Tensor(dy)).sum().backward()
        return {"y": y.data, "dx": x.grad, "dgamma": self.layer.gamma.grad, "dbeta": self.layer.beta.grad}
