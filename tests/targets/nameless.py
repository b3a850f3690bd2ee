"""Wrong batch norms whose mistake has no id: none of them may be called by a name that is not its own."""

import numpy as np

from tests.targets.mutants.right import D2l

# --- prediction alone, and nothing of a batch norm in it ---


class PredictionOnly:
    conventions = "d2l"

    def __init__(self, setup):
        self.right = D2l(setup)

    def eval(self, x, dy):
        return {"y": self.predicted(x, dy)}

    def predicted(self, x, dy):
        return self.right.eval(x, dy)["y"]


class Zeros(PredictionOnly):
    def predicted(self, x, dy):  # noqa: ARG002
        return np.zeros_like(x)


class Identity(PredictionOnly):
    def predicted(self, x, dy):  # noqa: ARG002
        return x


class RandomNumbers(PredictionOnly):
    def predicted(self, x, dy):  # noqa: ARG002
        return np.random.default_rng(0).standard_normal(x.shape).astype(x.dtype)


PREDICT_ANYTHING = (Zeros, Identity, RandomNumbers)


# --- errors as small as rounding's, and yet a formula's: as large in float64 as in float32, or always of one kind ---


class WeightWarmsUp(D2l):
    """The new batch weighs a little less in a layer's first steps."""

    steps = 0

    def weight(self):
        self.steps += 1
        return super().weight() * self.work.type(1 - 0.002 / self.steps)


class WeighedApart(D2l):
    """The mean's new value weighs 0.1% less, the variance's 0.1% more."""

    def track(self, mean, var, n):  # noqa: ARG002
        weight = self.weight()
        self.moving_mean = self.moving_mean + weight * self.work.type(0.999) * (mean - self.moving_mean)
        self.moving_var = self.moving_var + weight * self.work.type(1.001) * (var - self.moving_var)


class DgammaTimes1001(D2l):
    def parameter_gradients(self, dy, saved):
        dgamma, dbeta = super().parameter_gradients(dy, saved)
        return dgamma * self.work.type(1.001), dbeta


class DxTimes1001(D2l):
    def input_gradient(self, dy, saved):
        return super().input_gradient(dy, saved) * self.work.type(1.001)


class YTimes1001(D2l):
    def output(self, x_hat):
        return super().output(x_hat) * self.work.type(1.001)


class Noise(D2l):
    """Every y is off by 1e-6 of itself, up or down."""

    def output(self, x_hat):
        signs = np.random.default_rng(x_hat.size).choice([-1.0, 1.0], x_hat.shape)
        return (super().output(x_hat) * (1 + 1e-6 * signs)).astype(self.work)


class NoisyStatistics(D2l):
    def statistics(self, x):
        mean, var = super().statistics(x)
        signs = np.random.default_rng(x.size).choice([-1.0, 1.0], mean.shape)
        return (mean * (1 + 1e-6 * signs)).astype(self.work), var


class TrimmedMean(D2l):
    """The smallest and the largest value of each channel weigh a thousandth less."""

    def statistics(self, x):
        axes = self.axes(x)
        low, high, n = x.min(axis=axes), x.max(axis=axes), self.count(x)
        mean = (x.sum(axis=axes) - self.work.type(1e-3) * (low + high)) / self.work.type(n - 2e-3)
        return mean, np.square(x - self.along(mean, x)).mean(axis=axes)


class SmoothedVariance(D2l):
    """The batch's variance is drawn to 1 by a ten-thousandth."""

    def statistics(self, x):
        mean, var = super().statistics(x)
        return mean, var + self.work.type(1e-4) * (1 - var)


class LeakingVariance(D2l):
    """Each prediction leaves the moving variance a thousandth smaller."""

    def eval(self, x, dy):
        results = super().eval(x, dy)
        self.moving_var = self.moving_var * self.work.type(0.999)
        return results


class DbetaOfClipped(D2l):
    """dy is clipped at 2.5 before it is summed."""

    def parameter_gradients(self, dy, saved):
        dgamma, _ = super().parameter_gradients(dy, saved)
        return dgamma, np.clip(dy, -2.5, 2.5).sum(axis=self.axes(dy))


SMALL_BUT_NOT_ROUNDING = (
    WeightWarmsUp,
    WeighedApart,
    DgammaTimes1001,
    DxTimes1001,
    YTimes1001,
    Noise,
    NoisyStatistics,
    TrimmedMean,
    SmoothedVariance,
    LeakingVariance,
    DbetaOfClipped,
)
