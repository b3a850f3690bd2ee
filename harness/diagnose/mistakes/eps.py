"""Mistakes in what eps does."""

from __future__ import annotations

import numpy as np

from harness.diagnose.mistakes.in_mode import everywhere_or_in_one
from harness.judge.oracle import OracleLayer


class EpsOutsideSqrt(OracleLayer):
    """(x - mean)/(sqrt(var) + eps); the gradient is still the closed form of sqrt(var + eps)."""

    def inverse_std(self, var):
        return 1 / (np.sqrt(var) + var.dtype.type(self.eps))


class EpsOutsideSqrtThroughout(EpsOutsideSqrt):
    """As above, with its true gradient; a constant channel takes none through its variance."""

    def variance_slope(self, var, scale):
        std = np.sqrt(var)
        return np.divide(1, scale * std, out=np.zeros_like(std), where=std > 0)


class EpsOutsideSqrtAutodiff(EpsOutsideSqrt):
    """As autodiff gives it: the slope of a root at zero is infinite, so a constant channel's dx is NaN."""

    def variance_slope(self, var, scale):
        return 1 / (scale * np.sqrt(var))


class EpsAfterReciprocal(OracleLayer):
    """1/sqrt(var) + eps."""

    def inverse_std(self, var):
        return 1 / np.sqrt(var) + var.dtype.type(self.eps)


class EpsMissing(OracleLayer):
    def inverse_std(self, var):
        return 1 / np.sqrt(var)


class EpsMissingInGradient(OracleLayer):
    """y is right; dx and dgamma are those of a layer without eps."""

    def normalize(self, x, mean, var):
        y, cache = super().normalize(x, mean, var)
        scale = 1 / np.sqrt(var)
        return y, cache | {"scale": scale, "x_hat": (x - mean) * scale}


class EpsAsFloor(OracleLayer):
    """max(var, eps) in place of var + eps."""

    def inverse_std(self, var):
        return 1 / np.sqrt(np.maximum(var, var.dtype.type(self.eps)))


class EpsAsFloorAutodiff(EpsAsFloor):
    """As above; below the floor nothing flows through the variance."""

    def variance_slope(self, var, scale):  # noqa: ARG002
        return (var > var.dtype.type(self.eps)).astype(var.dtype)


class EpsAsFloorOfStd(OracleLayer):
    """max(sqrt(var), eps)."""

    def inverse_std(self, var):
        return 1 / np.maximum(np.sqrt(var), var.dtype.type(self.eps))


class EpsAsFloorOfStdAutodiff(EpsAsFloorOfStd):
    def variance_slope(self, var, scale):  # noqa: ARG002
        return (np.sqrt(var) > var.dtype.type(self.eps)).astype(var.dtype)


class EpsWhereZero(OracleLayer):
    """eps stands in for a variance of zero, and is not added to any other."""

    def inverse_std(self, var):
        return 1 / np.sqrt(np.where(var == 0, var.dtype.type(self.eps), var))


class EpsSquared(OracleLayer):
    def inverse_std(self, var):
        return 1 / np.sqrt(var + var.dtype.type(self.eps) ** 2)


class EpsRooted(OracleLayer):
    def inverse_std(self, var):
        return 1 / np.sqrt(var + np.sqrt(var.dtype.type(self.eps)))


class EpsRootedOutside(OracleLayer):
    """sqrt(var) + sqrt(eps)."""

    def inverse_std(self, var):
        return 1 / (np.sqrt(var) + np.sqrt(var.dtype.type(self.eps)))


class EpsRootedOutsideThroughout(EpsRootedOutside):
    def variance_slope(self, var, scale):
        std = np.sqrt(var)
        return np.divide(1, scale * std, out=np.zeros_like(std), where=std > 0)


class EpsTwice(OracleLayer):
    """Under the root and outside it."""

    def inverse_std(self, var):
        eps = var.dtype.type(self.eps)
        return 1 / (np.sqrt(var + eps) + eps)


class EpsInside(OracleLayer):
    """sqrt(var + eps) where eps outside the root is declared."""

    def inverse_std(self, var):
        return 1 / np.sqrt(var + var.dtype.type(self.eps))

    def variance_slope(self, var, scale):  # noqa: ARG002
        return 1.0


class EpsInMovingVar(OracleLayer):
    """eps is added to the variance before that is averaged (and before Bessel's factor)."""

    def update(self, mean, var, n):
        super().update(mean, var + var.dtype.type(self.eps), n)


class EpsInUnbiasedMovingVar(OracleLayer):
    """eps is added to what is averaged, after Bessel's factor."""

    def update(self, mean, var, n):
        super().update(mean, var, n)
        self.average_var = self.average_var + self.weights()[1] * var.dtype.type(self.eps)


class EpsOnMovingVar(OracleLayer):
    """eps is added to the moving variance itself, each time that it is updated."""

    def update(self, mean, var, n):
        super().update(mean, var, n)
        self.average_var = self.average_var + var.dtype.type(self.eps)


class EpsOnMovingVarInEval(OracleLayer):
    """Prediction adds eps to the moving variance in place, and so leaves it there."""

    def eval_step(self, x, dy):
        values = super().eval_step(x, dy)
        self.average_var = self.average_var + self.average_var.dtype.type(self.eps)
        return values


OUTSIDE = (
    *everywhere_or_in_one(EpsOutsideSqrt, EpsOutsideSqrtThroughout, EpsOutsideSqrtAutodiff),
    EpsAfterReciprocal,
)
MISSING = (*everywhere_or_in_one(EpsMissing), EpsMissingInGradient)
WRONG = (
    *everywhere_or_in_one(EpsAsFloor, EpsAsFloorAutodiff, EpsSquared, EpsRooted),
    EpsAsFloorOfStd,
    EpsAsFloorOfStdAutodiff,
    EpsWhereZero,
    EpsRootedOutside,
    EpsRootedOutsideThroughout,
    EpsTwice,
    EpsInMovingVar,
    EpsInUnbiasedMovingVar,
    EpsOnMovingVar,
    EpsOnMovingVarInEval,
)
