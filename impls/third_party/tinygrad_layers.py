"""tinygrad.nn.BatchNorm, whose mode is global. It compiles with clang."""

from tinygrad import Tensor, helpers, nn


def mode(training):
    """A context; releases before 0.14 had Tensor.train instead."""
    return helpers.Context(TRAINING=int(training)) if hasattr(helpers, "TRAINING") else Tensor.train(training)


class TinygradBatchNorm:
    conventions = {"preset": "torch"}
    dtypes = ("float64", "float32")  # with 16-bit input its float32 parameters promote y

    def __init__(self, setup):
        given = {name: value for name in ("eps", "momentum") if (value := getattr(setup, name)) is not None}
        self.layer = nn.BatchNorm(setup.num_features, **given)
        names = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_var"}
        for theirs, ours in names.items():
            setattr(self.layer, theirs, Tensor(getattr(setup, ours)).realize())

    def train(self, x, dy):
        return self._step(Tensor(x), Tensor(dy), True)

    def eval(self, x, dy):
        return self._step(Tensor(x), Tensor(dy), False)

    def _step(self, x, dy, training):
        with mode(training):
            y = self.layer(x)
            gradients = (y * dy).sum().gradient(x, self.layer.weight, self.layer.bias)
            Tensor.realize(y, *gradients, self.layer.running_mean, self.layer.running_var)
        return {name: a.numpy() for name, a in zip(("y", "dx", "dgamma", "dbeta"), (y, *gradients), strict=True)}

    def stats(self):
        return {"moving_mean": self.layer.running_mean.numpy(), "moving_var": self.layer.running_var.numpy()}
