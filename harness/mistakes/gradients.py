"""Mistakes in the gradients, and in what gamma and beta do."""

from __future__ import annotations

import numpy as np

from harness.oracle import OracleLayer
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


class EvalDxAsTraining(OracleLayer):
    """The training formula for dx, applied in prediction to prediction's own x_hat."""

    def eval_backward(self, dy, cache):
        return OracleLayer.train_backward(self, dy, cache)


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


class _Gradients(OracleLayer):
    """Mistakes that change what the two backward methods return."""

    def changed(self, dx, dgamma, dbeta, dy, cache):  # noqa: ARG002
        return dx, dgamma, dbeta

    def train_backward(self, dy, cache):
        return self.changed(*super().train_backward(dy, cache), dy, cache)

    def eval_backward(self, dy, cache):
        return self.changed(*super().eval_backward(dy, cache), dy, cache)


class DgammaNotNormalized(_Gradients):
    """dgamma = sum(dy (x - mean)): the division by the standard deviation is missing."""

    def changed(self, dx, dgamma, dbeta, dy, cache):
        dx, dgamma, dbeta = super().changed(dx, dgamma, dbeta, dy, cache)
        return dx, dgamma / cache["scale"], dbeta


class DgammaOfRawInput(_Gradients):
    """dgamma = sum(dy x): x as it came, neither centred nor scaled."""

    def changed(self, dx, dgamma, dbeta, dy, cache):
        dx, dgamma, dbeta = super().changed(dx, dgamma, dbeta, dy, cache)
        return dx, dgamma / cache["scale"] + cache["mean"] * dbeta, dbeta

    def normalize(self, x, mean, var):
        y, cache = super().normalize(x, mean, var)
        return y, cache | {"mean": mean}


class _TrainOnly(_Gradients):
    def eval_backward(self, dy, cache):
        return super(_Gradients, self).eval_backward(dy, cache)


class _EvalOnly(_Gradients):
    def train_backward(self, dy, cache):
        return super(_Gradients, self).train_backward(dy, cache)


class TrainDgammaNotNormalized(_TrainOnly, DgammaNotNormalized):
    pass


class TrainDgammaOfRawInput(_TrainOnly, DgammaOfRawInput):
    pass


class EvalDgammaNotNormalized(_EvalOnly, DgammaNotNormalized):
    pass


class EvalDgammaOfRawInput(_EvalOnly, DgammaOfRawInput):
    pass


class DgammaDbetaSwapped(_Gradients):
    def changed(self, dx, dgamma, dbeta, dy, cache):
        dx, dgamma, dbeta = super().changed(dx, dgamma, dbeta, dy, cache)
        return dx, dbeta, dgamma


class GradsAveraged(_Gradients):
    """dgamma and dbeta are means over the n values where sums are due."""

    def changed(self, dx, dgamma, dbeta, dy, cache):
        dx, dgamma, dbeta = super().changed(dx, dgamma, dbeta, dy, cache)
        n = max(1, len(to_rows(dy, 1)))
        return dx, dgamma / n, dbeta / n


class GradsAveragedOverBatch(_Gradients):
    """dgamma and dbeta are divided by the batch size N."""

    def changed(self, dx, dgamma, dbeta, dy, cache):
        dx, dgamma, dbeta = super().changed(dx, dgamma, dbeta, dy, cache)
        n = max(1, dy.shape[0])
        return dx, dgamma / n, dbeta / n


class DgammaAveraged(_Gradients):
    def changed(self, dx, dgamma, dbeta, dy, cache):
        dx, dgamma, dbeta = super().changed(dx, dgamma, dbeta, dy, cache)
        return dx, dgamma / max(1, len(to_rows(dy, 1))), dbeta


class DbetaAveraged(_Gradients):
    def changed(self, dx, dgamma, dbeta, dy, cache):
        dx, dgamma, dbeta = super().changed(dx, dgamma, dbeta, dy, cache)
        return dx, dgamma, dbeta / max(1, len(to_rows(dy, 1)))


class DxIgnoresGamma(_Gradients):
    """y has gamma, dx lacks it."""

    def changed(self, dx, dgamma, dbeta, dy, cache):
        dx, dgamma, dbeta = super().changed(dx, dgamma, dbeta, dy, cache)
        with np.errstate(all="ignore"):
            return dx / _channels(self.gamma, dx), dgamma, dbeta


class TrainDxIgnoresGamma(OracleLayer):
    def train_backward(self, dy, cache):
        dx, dgamma, dbeta = super().train_backward(dy, cache)
        return dx / _channels(self.gamma, dx), dgamma, dbeta


class EvalDxIgnoresGamma(OracleLayer):
    def eval_backward(self, dy, cache):
        dx, dgamma, dbeta = super().eval_backward(dy, cache)
        return dx / _channels(self.gamma, dx), dgamma, dbeta


class GammaIgnored(OracleLayer):
    """gamma plays no part in y or dx."""

    def normalize(self, x, mean, var):
        y, cache = super().normalize(x, mean, var)
        return y - (self.gamma - 1) * cache["x_hat"], cache

    def train_backward(self, dy, cache):
        return self._without(super().train_backward, dy, cache)

    def eval_backward(self, dy, cache):
        return self._without(super().eval_backward, dy, cache)

    def _without(self, backward, dy, cache):
        gamma, self.gamma = self.gamma, np.ones_like(self.gamma)
        try:
            return backward(dy, cache)
        finally:
            self.gamma = gamma


class YIgnoresGamma(OracleLayer):
    """y lacks gamma, dx has it."""

    def normalize(self, x, mean, var):
        y, cache = super().normalize(x, mean, var)
        return y - (self.gamma - 1) * cache["x_hat"], cache


class GammaIgnoredInEval(OracleLayer):
    def eval(self, x):
        gamma, self.gamma = self.gamma, np.ones_like(self.gamma)
        try:
            return super().eval(x)
        finally:
            self.gamma = gamma


class BetaIgnored(OracleLayer):
    def normalize(self, x, mean, var):
        y, cache = super().normalize(x, mean, var)
        return y - self.beta, cache


class BetaIgnoredInEval(OracleLayer):
    def eval(self, x):
        y, cache = super().eval(x)
        return y - _channels(self.beta, y), cache


class BetaIgnoredInTrain(OracleLayer):
    def train(self, x):
        y, cache = super().train(x)
        return y - _channels(self.beta, y), cache


def _channels(values: np.ndarray, like: np.ndarray) -> np.ndarray:
    """(C,) so that it broadcasts against a channels-first array."""
    return values.reshape(1, -1, *[1] * (like.ndim - 2))
