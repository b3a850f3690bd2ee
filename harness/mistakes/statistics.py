"""Mistakes in the moving statistics, in the batch's variance, and in eps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from harness.oracle import OracleLayer
from reference.batch_norm import to_rows




class MomentumInverted(OracleLayer):
    def weights(self):
        keep, new = super().weights()
        return new, keep


class _Bessel(OracleLayer):
    said = "biased"

    def update(self, mean, var, n):
        conventions = self.conventions
        self.conventions = replace(conventions, moving_var=self.said)
        super().update(mean, var, n)
        self.conventions = conventions


class MovingVarBiased(_Bessel):
    said = "biased"


class MovingVarUnbiased(_Bessel):
    said = "unbiased"


class StatsFrozen(OracleLayer):
    def update(self, mean, var, n):
        pass


class MeanFrozen(OracleLayer):
    def update(self, mean, var, n):
        old = self.average_mean
        super().update(mean, var, n)
        self.average_mean = old


class VarFrozen(OracleLayer):
    def update(self, mean, var, n):
        old = self.average_var
        super().update(mean, var, n)
        self.average_var = old


class StatsUpdatedTwice(OracleLayer):
    def update(self, mean, var, n):
        super().update(mean, var, n)
        super().update(mean, var, n)


class StatsUpdatedInEval(OracleLayer):
    """Prediction moves the statistics after it has used them."""

    def eval(self, x):
        y, cache = super().eval(x)
        rows = to_rows(x, 1)
        self.update(*self.batch_statistics(rows), len(rows))
        return y, cache


class StatsUpdatedBeforeEval(OracleLayer):
    """Prediction moves the statistics first, then uses them."""

    def eval(self, x):
        rows = to_rows(x, 1)
        self.update(*self.batch_statistics(rows), len(rows))
        return super().eval(x)


class _Debias(OracleLayer):
    said = True

    def debiased(self, average):
        conventions = self.conventions
        self.conventions = replace(conventions, debias=self.said)
        result = super().debiased(average)
        self.conventions = conventions
        return result


class Debiased(_Debias):
    said = True


class NotDebiased(_Debias):
    said = False


class EpsInMovingVar(OracleLayer):
    """eps is added to the variance before that is averaged."""

    def update(self, mean, var, n):
        super().update(mean, var + var.dtype.type(self.eps), n)


class StdAveraged(OracleLayer):
    """The standard deviation is averaged where the variance is meant."""

    def update(self, mean, var, n):
        super().update(mean, np.sqrt(var), n)




class BatchVarUnbiased(OracleLayer):
    """y divides by the variance over n - 1; the moving variance is as declared; the gradient keeps sum/n."""

    _training = False
    _rows = 0

    def normalize(self, x, mean, var):
        self._rows = len(x)
        if self._training and len(x) > 1:
            var = var * len(x) / (len(x) - 1)
        return super().normalize(x, mean, var)

    def train(self, x):
        self._training = True
        try:
            return super().train(x)
        finally:
            self._training = False


class BatchVarUnbiasedThroughout(BatchVarUnbiased):
    """As above, and the gradient is that of the variance over n - 1, as autodiff gives it."""

    def variance_slope(self, var, scale):
        n = self._rows
        return super().variance_slope(var, scale) * (n / (n - 1) if n > 1 else 1)


class BatchVarUnbiasedAveraged(BatchVarUnbiased):
    """As the first, and the same number over n - 1 goes into the moving variance."""

    def update(self, mean, var, n):
        conventions = self.conventions
        self.conventions = replace(conventions, moving_var="unbiased")
        super().update(mean, var, n)
        self.conventions = conventions


class BatchVarUnbiasedAllThrough(BatchVarUnbiasedAveraged, BatchVarUnbiasedThroughout):
    """The variance over n - 1 everywhere: y, gradient, moving variance."""


class EpsOutsideSqrt(OracleLayer):
    """(x - mean)/(sqrt(var) + eps); the gradient is still that of sqrt(var + eps)."""

    def inverse_std(self, var):
        return 1 / (np.sqrt(var) + var.dtype.type(self.eps))


class EpsOutsideSqrtThroughout(EpsOutsideSqrt):
    """As above, with its true gradient."""

    def variance_slope(self, var, scale):
        std = np.sqrt(var)
        return np.divide(1, scale * std, out=np.zeros_like(std), where=std > 0)


class EpsMissing(OracleLayer):
    def inverse_std(self, var):
        return 1 / np.sqrt(var)


class EpsAsFloor(OracleLayer):
    """max(var, eps) in place of var + eps."""

    def inverse_std(self, var):
        return 1 / np.sqrt(np.maximum(var, var.dtype.type(self.eps)))


class EpsInside(OracleLayer):
    """sqrt(var + eps) where eps outside the root is declared."""

    def inverse_std(self, var):
        return 1 / np.sqrt(var + var.dtype.type(self.eps))

    def variance_slope(self, var, scale):
        return 1.0


class EpsSquared(OracleLayer):
    def inverse_std(self, var):
        return 1 / np.sqrt(var + var.dtype.type(self.eps) ** 2)
