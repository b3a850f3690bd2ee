"""A right batch norm in the style of each framework, with one method for each step that can go wrong.

Plain NumPy. The mutants derive from these classes and override a method or two.
"""

import numpy as np


class KnowsPrediction:
    """Before a style of batch norm: `predicting` while it is in `eval`."""

    predicting = False

    def eval(self, x, dy):
        self.predicting = True
        try:
            return super().eval(x, dy)
        finally:
            self.predicting = False


class D2l:
    """Channels on axis 1, momentum keeps the old value, biased moving variance."""

    conventions = "d2l"
    axis = 1

    def __init__(self, setup):
        self.dtype = np.dtype(setup.dtype)
        self.work = np.dtype("float64" if setup.dtype == "float64" else "float32")
        self.eps, self.momentum = setup.eps, setup.momentum
        self.gamma, self.beta = np.array(setup.gamma), np.array(setup.beta)
        self.moving_mean, self.moving_var = np.array(setup.moving_mean), np.array(setup.moving_var)

    # --- the contract ---

    def train(self, x, dy):
        given, x, dy = x, self.wide(x), self.wide(dy)
        mean, var = self.statistics(x)
        y, saved = self.forward(x, mean, var)
        dx, dgamma, dbeta = self.backward(dy, saved)
        self.track(mean, var, self.count(x))
        return self.results(given, y, dx, dgamma, dbeta)

    def eval(self, x, dy):
        given, x, dy = x, self.wide(x), self.wide(dy)
        mean, var = self.statistics_for_prediction(x)
        y, saved = self.forward(x, mean, var)
        dx, dgamma, dbeta = self.backward_of_prediction(dy, saved)
        return self.results(given, y, dx, dgamma, dbeta)

    def stats(self):
        return {"moving_mean": self.moving_mean, "moving_var": self.moving_var}

    def state(self):
        return {"gamma": self.gamma, "beta": self.beta, "mean": self.moving_mean, "var": self.moving_var}

    def load_state(self, state):
        self.gamma, self.beta = state["gamma"], state["beta"]
        self.moving_mean, self.moving_var = state["mean"], state["var"]

    # --- shapes ---

    def wide(self, x):
        return x.astype(self.work)

    def axes(self, x):
        return tuple(a for a in range(x.ndim) if a != self.axis % x.ndim)

    def along(self, values, x):
        shape = [1] * x.ndim
        shape[self.axis] = -1
        return np.reshape(values, shape)

    def count(self, x):
        return x.size // x.shape[self.axis]

    def results(self, x, y, dx, dgamma, dbeta):
        return {"y": y.astype(x.dtype), "dx": dx.astype(x.dtype), "dgamma": dgamma, "dbeta": dbeta}

    # --- forward ---

    def statistics(self, x):
        mean = x.mean(axis=self.axes(x))
        return mean, np.square(x - self.along(mean, x)).mean(axis=self.axes(x))

    def statistics_for_prediction(self, x):  # noqa: ARG002
        return self.moving_mean, self.moving_var

    def inverse_std(self, var):
        return 1 / np.sqrt(var + self.work.type(self.eps))

    def forward(self, x, mean, var):
        scale = self.inverse_std(var)
        x_hat = (x - self.along(mean, x)) * self.along(scale, x)
        return self.output(x_hat), {"x": x, "mean": mean, "var": var, "scale": scale, "x_hat": x_hat}

    def output(self, x_hat):
        return self.along(self.gamma, x_hat) * x_hat + self.along(self.beta, x_hat)

    # --- backward ---

    def parameter_gradients(self, dy, saved):
        axes = self.axes(dy)
        return (dy * saved["x_hat"]).sum(axis=axes), dy.sum(axis=axes)

    def backward(self, dy, saved):
        dgamma, dbeta = self.parameter_gradients(dy, saved)
        return self.input_gradient(dy, saved), dgamma, dbeta

    def input_gradient(self, dy, saved):
        axes, x_hat = self.axes(dy), saved["x_hat"]
        through_mean = self.along(dy.mean(axis=axes), dy)
        through_var = x_hat * self.along((dy * x_hat).mean(axis=axes), dy)
        return self.along(self.gamma * saved["scale"], dy) * (dy - through_mean - through_var)

    def backward_of_prediction(self, dy, saved):
        dgamma, dbeta = self.parameter_gradients(dy, saved)
        return self.along(self.gamma * saved["scale"], dy) * dy, dgamma, dbeta

    # --- moving statistics ---

    def weight(self):
        return self.work.type(1 - self.momentum)

    def averaged(self, old, new):
        return old + self.weight() * (new - old)

    def track(self, mean, var, n):  # noqa: ARG002
        self.moving_mean = self.averaged(self.moving_mean, mean)
        self.moving_var = self.averaged(self.moving_var, var)


class Torch(D2l):
    """Momentum weighs the new value, the moving variance is unbiased, one value per channel is refused."""

    conventions = "torch"

    def train(self, x, dy):
        if self.count(x) == 1:
            raise ValueError("Expected more than 1 value per channel when training")
        return super().train(x, dy)

    def weight(self):
        return self.work.type(self.momentum)

    def track(self, mean, var, n):
        super().track(mean, var * (self.work.type(n) / self.work.type(n - 1)), n)


class Flax(D2l):
    """Channels last."""

    conventions = "flax"
    axis = -1


class Keras(Flax):
    """Channels last; scale and offset are folded, as Keras does in prediction."""

    conventions = "keras"

    def forward(self, x, mean, var):
        scale = self.inverse_std(var)
        gain = self.gamma * scale
        y = x * self.along(gain, x) + self.along(self.beta - mean * gain, x)
        x_hat = (x - self.along(mean, x)) * self.along(scale, x)
        return y, {"x": x, "mean": mean, "var": var, "scale": scale, "x_hat": x_hat}


class Debiasing(D2l):
    """The averages start from the values given, and are divided by 1 - momentum^t once t is positive."""

    conventions = {"preset": "d2l", "debias": True}  # noqa: RUF012

    def __init__(self, setup):
        super().__init__(setup)
        self.steps = 0

    def share(self):
        return self.work.type(1 - self.momentum**self.steps) if self.steps else self.work.type(1)

    def track(self, mean, var, n):
        super().track(mean, var, n)
        self.steps += 1

    def statistics_for_prediction(self, x):  # noqa: ARG002
        return self.moving_mean / self.share(), self.moving_var / self.share()

    def stats(self):
        mean, var = self.statistics_for_prediction(None)
        return {"moving_mean": mean, "moving_var": var}

    def state(self):
        return super().state() | {"steps": self.steps}

    def load_state(self, state):
        super().load_state(state)
        self.steps = state["steps"]


class EpsOutsideRoot:
    """Over one of the above: x_hat = (x - mean)/(std + eps) and its gradient, where d std/d var = 1/(2 std)."""

    def inverse_std(self, var):
        return 1 / (np.sqrt(var) + self.work.type(self.eps))

    def input_gradient(self, dy, saved):
        axes, x_hat, scale = self.axes(dy), saved["x_hat"], saved["scale"]
        std = np.sqrt(saved["var"])
        factor = np.where(std > 0, 1 / (scale * np.where(std > 0, std, 1)), 0)
        through_mean = self.along(dy.mean(axis=axes), dy)
        through_var = x_hat * self.along(factor * (dy * x_hat).mean(axis=axes), dy)
        return self.along(self.gamma * scale, dy) * (dy - through_mean - through_var)


class WithGradientSwitch(D2l):
    """Tells training with gradients on from training with gradients off, as a framework would."""

    gradients = True

    def train_no_grad(self, x):
        self.gradients = False
        try:
            return {"y": D2l.train(self, x, np.zeros_like(x))["y"]}
        finally:
            self.gradients = True
