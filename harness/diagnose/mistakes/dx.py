"""Mistakes in dx: terms of training that are missing, or that stand in prediction as well."""

from __future__ import annotations

import numpy as np

from harness.judge.oracle import OracleLayer
from reference.batch_norm import from_rows, to_rows


class DxIgnoresMean(OracleLayer):
    """dx lacks the term that flows through the mean."""

    def train_backward(self, dy, cache):
        dx, dgamma, dbeta = super().train_backward(dy, cache)
        n = len(to_rows(dy, 1))
        return dx + _channels(self.gamma * cache["scale"] * dbeta / n, dy), dgamma, dbeta


class DxIgnoresVar(OracleLayer):
    """dx lacks the term that flows through the variance."""

    def train_backward(self, dy, cache):
        dx, dgamma, dbeta = super().train_backward(dy, cache)
        n = len(to_rows(dy, 1))
        slope = self.variance_slope(cache["var"], cache["scale"])
        through_var = self.gamma * cache["scale"] * cache["x_hat"] * (slope * dgamma / n)
        return dx + from_rows(through_var, dy.shape, 1), dgamma, dbeta


class DxIgnoresBoth(OracleLayer):
    """Training takes the statistics for constants: dx = gamma dy / sqrt(var + eps)."""

    def train_backward(self, dy, cache):
        _, dgamma, dbeta = super().train_backward(dy, cache)
        return _channels(self.gamma * cache["scale"], dy) * dy, dgamma, dbeta


class DxOfVarByNMinus1(OracleLayer):
    """The term that flows through the variance is divided by n - 1, as if that were the unbiased one."""

    alone = True
    through_mean = False
    """Whether the other term is, too."""

    def train_backward(self, dy, cache):
        dx, dgamma, dbeta = super().train_backward(dy, cache)
        n = cache["x_hat"].dtype.type(len(to_rows(dy, 1)))
        slope = self.variance_slope(cache["var"], cache["scale"])
        terms = cache["x_hat"] * (slope * dgamma) + (dbeta if self.through_mean else 0)
        further = self.gamma * cache["scale"] * terms * (1 / (n - 1) - 1 / n)
        return dx - from_rows(further, dy.shape, 1), dgamma, dbeta


class DxByNMinus1(DxOfVarByNMinus1):
    """Both means are taken over n - 1."""

    through_mean = True


class EvalDxAsTraining(OracleLayer):
    """The training formula for dx, applied in prediction to prediction's own x_hat."""

    def eval_backward(self, dy, cache):
        return OracleLayer.train_backward(self, dy, cache)


class EvalDxWithMean(OracleLayer):
    """The mean of dy is subtracted in prediction too."""

    def eval_backward(self, dy, cache):
        dx, dgamma, dbeta = super().eval_backward(dy, cache)
        n = max(1, len(to_rows(dy, 1)))
        return dx - _channels(self.gamma * cache["scale"] * dbeta / n, dy), dgamma, dbeta


class EvalDxByBatchScale(OracleLayer):
    """Prediction's dx = gamma dy / sqrt(var + eps) with the batch's variance."""

    def eval_step(self, x, dy):
        values = super().eval_step(x, dy)
        scale = self.inverse_std(self.batch_statistics(to_rows(x, 1))[1])
        return values | {"dx": _channels(self.gamma * scale, dy) * dy}


class EvalDxByBatch(OracleLayer):
    """The training formula for dx in prediction, with the batch's own statistics; dgamma and dbeta are right."""

    whole = False

    def eval_step(self, x, dy):
        values = super().eval_step(x, dy)
        rows = to_rows(x, 1)
        _, cache = self.normalize(rows, *self.batch_statistics(rows))
        dx, dgamma, dbeta = OracleLayer.train_backward(self, dy, cache)
        return values | ({"dx": dx, "dgamma": dgamma, "dbeta": dbeta} if self.whole else {"dx": dx})


class EvalGradientsByBatch(EvalDxByBatch):
    """As above, dgamma as well."""

    whole = True


def _channels(values: np.ndarray, like: np.ndarray) -> np.ndarray:
    """(C,) so that it broadcasts against a channels-first array."""
    return values.reshape(1, -1, *[1] * (like.ndim - 2))
