"""What a tired hand does: arguments or arrays in each other's place, another mean, another count."""

import numpy as np

from tests.targets.mutants.right import D2l, Flax, KnowsPrediction, Torch


class ScaleIsBeta(D2l):
    """As by positional arguments: (bias, scale) where (scale, bias) is asked for."""

    expected, case = "gamma_beta_exchanged", "rank2"

    def __init__(self, setup):
        super().__init__(setup)
        self.gamma, self.beta = self.beta, self.gamma


class ScaleIsBetaInGradientsToo(Torch):
    """As by a table of names in a converter: the gradients come under these names, too."""

    expected, case = "gamma_beta_exchanged", "rank4"

    def __init__(self, setup):
        super().__init__(setup)
        self.gamma, self.beta = self.beta, self.gamma

    def parameter_gradients(self, dy, saved):
        return super().parameter_gradients(dy, saved)[::-1]


class PredictsByVarAndMean(Torch):
    """batch_norm(x, running_var, running_mean, ...)"""

    expected, case = "mean_var_exchanged", "rank2"

    def statistics_for_prediction(self, x):  # noqa: ARG002
        return self.moving_var, self.moving_mean


class StartsWithVarAndMean(D2l):
    expected, case = "mean_var_exchanged", "rank2"

    def __init__(self, setup):
        super().__init__(setup)
        self.moving_mean, self.moving_var = self.moving_var, self.moving_mean


class ShowsVarAndMean(Flax):
    expected, case = "mean_var_exchanged", "rank3"

    def stats(self):
        return {"moving_mean": self.moving_var, "moving_var": self.moving_mean}


class EpsIsMomentum(D2l):
    """BatchNorm(C, momentum, eps)"""

    expected, case = "eps_momentum_exchanged", "rank2"

    def __init__(self, setup):
        super().__init__(setup)
        self.eps, self.momentum = self.momentum, self.eps


class MomentumIsEps(Torch):
    expected, case = "eps_momentum_exchanged", "rank4"

    def __init__(self, setup):
        super().__init__(setup)
        self.eps, self.momentum = self.momentum, self.eps


class VarAboutRunningMean(Torch):
    """mean is batch.mean(), and var ((batch - self.running_mean) ** 2).mean()."""

    expected, case = "var_about_other_mean", "rank2"

    def statistics(self, x):
        mean, _ = super().statistics(x)
        return mean, np.square(x - self.along(self.moving_mean, x)).mean(axis=self.axes(x))


class VarAboutUpdatedMean(VarAboutRunningMean):
    """The moving mean is updated first. Differentiated as it is written."""

    expected, case = "var_about_other_mean", "rank4"
    conventions = D2l.conventions
    train, weight, track = D2l.train, D2l.weight, D2l.track

    def statistics(self, x):
        mean, _ = D2l.statistics(self, x)
        centre = self.averaged(self.moving_mean, mean)
        return mean, np.square(x - self.along(centre, x)).mean(axis=self.axes(x))

    def input_gradient(self, dy, saved):
        axes, scale = self.axes(dy), saved["scale"]
        off = saved["mean"] - self.averaged(self.moving_mean, saved["mean"])
        moves = (saved["x"] - self.along(saved["mean"] - (1 - self.weight()) * off, dy)) * self.along(scale, dy)
        through_var = moves * self.along((dy * saved["x_hat"]).mean(axis=axes), dy)
        return self.along(self.gamma * scale, dy) * (dy - self.along(dy.mean(axis=axes), dy) - through_var)


class DxByBessel(Torch):
    """Written for var.sum()/(n - 1)."""

    expected, case = "dx_by_n_minus_1", "rank2"

    def input_gradient(self, dy, saved):
        n, axes, x_hat = self.count(dy), self.axes(dy), saved["x_hat"]
        through_mean = self.along(dy.mean(axis=axes), dy)
        through_var = x_hat * self.along((dy * x_hat).sum(axis=axes) / self.work.type(n - 1), dy)
        return self.along(self.gamma * saved["scale"], dy) * (dy - through_mean - through_var)


class DxOfBothByBessel(Flax):
    expected, case = "dx_by_n_minus_1", "rank4"

    def input_gradient(self, dy, saved):
        n, axes, x_hat = self.count(dy), self.axes(dy), saved["x_hat"]
        means = dy.sum(axis=axes), (dy * x_hat).sum(axis=axes)
        mean, projected = (self.along(total / self.work.type(max(n - 1, 1)), dy) for total in means)
        return self.along(self.gamma * saved["scale"], dy) * (dy - mean - x_hat * projected)


class XHatOverwritten(D2l):
    """x_hat *= gamma; x_hat += beta; return x_hat: and the same array was kept for backward."""

    expected, case = "x_hat_overwritten", "rank2"

    def output(self, x_hat):
        x_hat *= self.along(self.gamma, x_hat)
        x_hat += self.along(self.beta, x_hat)
        return x_hat.copy()


class XHatOverwrittenInTraining(KnowsPrediction, Torch):
    expected, case = "x_hat_overwritten", "rank4"

    def output(self, x_hat):
        return super().output(x_hat) if self.predicting else XHatOverwritten.output(self, x_hat)


class GammaClamped(D2l):
    """As where gamma is kept from below zero by hand; dgamma is that of the formula."""

    expected, case = "gamma_clamped", "rank2"

    def __init__(self, setup):
        super().__init__(setup)
        self.gamma = np.maximum(self.gamma, 0)
