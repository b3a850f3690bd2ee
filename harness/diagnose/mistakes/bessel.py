"""Mistakes with n and n - 1: in the variance that normalizes and in the one that is averaged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from harness.judge.oracle import OracleLayer


class _Bessel(OracleLayer):
    moving_var_is = "biased"

    def update(self, mean, var, n):
        conventions = self.conventions
        self.conventions = replace(conventions, moving_var=self.moving_var_is)
        super().update(mean, var, n)
        self.conventions = conventions


class MovingVarBiased(_Bessel):
    moving_var_is = "biased"


class MovingVarUnbiased(_Bessel):
    moving_var_is = "unbiased"


class _BesselByBatch(OracleLayer):
    """Bessel's factor N/(N - 1) of the batch size, where n = N * the spatial sizes is meant."""

    batch_size = 0

    def play(self, step):
        self.batch_size = 0 if step.x is None else step.x.shape[0]
        return super().play(step)

    def factor(self):
        return self.batch_size / max(self.batch_size - 1, 1)

    def update(self, mean, var, n):
        factor = self.factor()
        if self.conventions.moving_var == "unbiased" and n > 1:
            factor = factor * (n - 1) / n
        super().update(mean, var * factor, n)


class MovingVarByBatchSize(_BesselByBatch):
    """A batch of one sample takes no factor."""


class MovingVarByBatchSizeLess1(_BesselByBatch):
    """A batch of one sample divides by zero, and raises."""

    def factor(self):
        return self.batch_size / (self.batch_size - 1)


class MovingVarByBatchSizeInfinite(_BesselByBatch):
    """A batch of one sample divides by zero, as NumPy does."""

    def factor(self):
        return np.float64(self.batch_size) / np.float64(self.batch_size - 1)


BY_BATCH_SIZE = (MovingVarByBatchSize, MovingVarByBatchSizeLess1, MovingVarByBatchSizeInfinite)


class MovingVarBesselTwice(OracleLayer):
    def update(self, mean, var, n):
        super().update(mean, var * (n / (n - 1)) if n > 1 else var, n)


class MovingVarBesselInverse(OracleLayer):
    """(n - 1)/n in place of n/(n - 1)."""

    def update(self, mean, var, n):
        super().update(mean, var * ((n - 1) / n) ** 2 if n > 0 else var, n)


class MovingVarByChannels(OracleLayer):
    """C/(C - 1): the number of channels in place of n."""

    def update(self, mean, var, n):
        channels = len(var)
        factor = channels / (channels - 1) if channels > 1 else 1
        super().update(mean, var * factor * ((n - 1) / n) if n > 1 else var, n)


class MovingVarBesselWithEps(OracleLayer):
    """n/(n - 1 + eps): eps keeps the division from failing, and stays."""

    def update(self, mean, var, n):
        super().update(mean, var * ((n - 1) / (n - 1 + var.dtype.type(self.eps))) if n > 1 else var, n)


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


class _AutodiffSlope(BatchVarUnbiased):
    def variance_slope(self, var, scale):
        n = self._rows
        return super().variance_slope(var, scale) * (n / (n - 1) if n > 1 else 1)


class BatchVarUnbiasedThroughout(_AutodiffSlope):
    """As above, and the gradient is that of the variance over n - 1, as autodiff gives it."""


class BatchVarUnbiasedAveraged(BatchVarUnbiased):
    """As the first, and the same number over n - 1 goes into the moving variance."""

    def update(self, mean, var, n):
        conventions = self.conventions
        self.conventions = replace(conventions, moving_var="unbiased")
        super().update(mean, var, n)
        self.conventions = conventions


class BatchVarUnbiasedAllThrough(BatchVarUnbiasedAveraged, _AutodiffSlope):
    """The variance over n - 1 everywhere: y, gradient, moving variance."""


class BatchVarUnbiasedTwice(MovingVarBesselTwice, BatchVarUnbiased):
    """As the first, and Bessel's factor is applied to that number once more for the moving variance."""


class BatchVarUnbiasedTwiceThroughout(MovingVarBesselTwice, BatchVarUnbiasedThroughout):
    pass
