"""The variance is taken about another mean than the batch's own, which is what is subtracted from x."""

from __future__ import annotations

from harness.judge.oracle import OracleLayer
from reference.batch_norm import from_rows, to_rows


class VarAboutMovingMean(OracleLayer):
    """About the moving mean as it was before the step; dx is what the closed form makes of that variance."""

    alone = True

    def centre(self, mean):  # noqa: ARG002
        """(the other mean, how much of the batch's own is in it)"""
        return self.moving_mean, 0 * self.weights()[1]

    def batch_statistics(self, x):
        mean, _ = super().batch_statistics(x)
        return mean, self.total((x - self.centre(mean)[0]) ** 2) / x.dtype.type(len(x))


class VarAboutUpdatedMovingMean(VarAboutMovingMean):
    """About the moving mean as the step leaves it."""

    def centre(self, mean):
        keep, new = self.weights()
        return keep * self.average_mean + new * mean, new


class VarAboutMovingMeanAutodiff(VarAboutMovingMean):
    """The same; dx is the derivative of what is computed: d var/dx = 2 (x - centre - share (mean - centre))/n."""

    def batch_statistics(self, x):
        mean, var = super().batch_statistics(x)
        centre, share = self.centre(mean)
        self.off = (1 - share) * (mean - centre)  # (C,)
        return mean, var

    def train_backward(self, dy, cache):
        dx, dgamma, dbeta = super().train_backward(dy, cache)
        n, scale = max(1, len(to_rows(dy, 1))), cache["scale"]
        further = self.gamma * scale**2 * self.off * self.variance_slope(cache["var"], scale) * dgamma / n  # (C,)
        return from_rows(to_rows(dx, 1) - further, dy.shape, 1), dgamma, dbeta


class VarAboutUpdatedMovingMeanAutodiff(VarAboutMovingMeanAutodiff, VarAboutUpdatedMovingMean):
    """About the moving mean as the step leaves it, by automatic differentiation."""


VAR_ABOUT_OTHER_MEAN = (
    VarAboutMovingMean,
    VarAboutUpdatedMovingMean,
    VarAboutMovingMeanAutodiff,
    VarAboutUpdatedMovingMeanAutodiff,
)
