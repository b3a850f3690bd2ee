"""Another function of gamma than itself: |gamma|, max(gamma, 0), 1 + gamma, exp(gamma); a wrong shift."""

from __future__ import annotations

import numpy as np

from harness.diagnose.mistakes.in_mode import everywhere_or_in_one
from harness.judge.oracle import OracleLayer


class GammaAbs(OracleLayer):
    """|gamma| in y and in dx; dgamma is the sum of dy * x_hat."""

    alone = True
    with_slope = False
    """Whether dgamma is multiplied by the derivative of the function, as autodiff does."""

    def function(self, gamma):
        """(what is multiplied by, its derivative)"""
        return np.abs(gamma), np.sign(gamma)

    def normalize(self, x, mean, var):
        y, cache = super().normalize(x, mean, var)
        return y + (self.function(self.gamma)[0] - self.gamma) * cache["x_hat"], cache

    def train_backward(self, dy, cache):
        return self._by_function(super().train_backward, dy, cache)

    def eval_backward(self, dy, cache):
        return self._by_function(super().eval_backward, dy, cache)

    def _by_function(self, backward, dy, cache):
        gamma = self.gamma
        self.gamma, slope = self.function(gamma)
        try:
            dx, dgamma, dbeta = backward(dy, cache)
        finally:
            self.gamma = gamma
        return dx, dgamma * slope if self.with_slope else dgamma, dbeta


class GammaAbsAutodiff(GammaAbs):
    with_slope = True


class GammaAbsPlusEps(GammaAbs):
    """|gamma| + eps, as activated layers take it that invert themselves to save memory."""

    def function(self, gamma):
        return np.abs(gamma) + gamma.dtype.type(self.eps), np.sign(gamma)


class GammaAbsPlusEpsAutodiff(GammaAbsPlusEps):
    with_slope = True


class GammaClamped(GammaAbs):
    """max(gamma, 0)"""

    def function(self, gamma):
        return np.maximum(gamma, 0), (gamma > 0).astype(gamma.dtype)


class GammaClampedAutodiff(GammaClamped):
    with_slope = True


class GammaPlusOne(GammaAbs):
    """1 + gamma, as where gamma is kept as its distance from 1; its derivative is 1."""

    def function(self, gamma):
        return 1 + gamma, np.ones_like(gamma)


class GammaExp(GammaAbs):
    """exp(gamma), as where gamma is kept as a logarithm."""

    def function(self, gamma):
        return np.exp(gamma), np.exp(gamma)


class GammaExpAutodiff(GammaExp):
    with_slope = True


class BetaSign(OracleLayer):
    """y = gamma * x_hat - beta; dbeta is the sum of dy."""

    def normalize(self, x, mean, var):
        y, cache = super().normalize(x, mean, var)
        return y - 2 * self.beta, cache


class BetaSignAutodiff(BetaSign):
    """As above; dbeta has the other sign as well."""

    def train_backward(self, dy, cache):
        dx, dgamma, dbeta = super().train_backward(dy, cache)
        return dx, dgamma, -dbeta

    def eval_backward(self, dy, cache):
        dx, dgamma, dbeta = super().eval_backward(dy, cache)
        return dx, dgamma, -dbeta


class MeanSign(OracleLayer):
    """The shift of a folded layer is beta + mean * scale: y = gamma (x + mean) * scale + beta. Gradients are right."""

    alone = True

    def normalize(self, x, mean, var):
        y, cache = super().normalize(x, mean, var)
        return y + 2 * self.gamma * mean * cache["scale"], cache


class MeanSignThroughout(OracleLayer):
    """As above, and dgamma is that of x + mean."""

    alone = True

    def normalize(self, x, mean, var):
        return super().normalize(x, -mean, var)


class MeanNotSubtracted(OracleLayer):
    """y = gamma x * scale + beta: a folded shift that lost the mean's term. Gradients are right."""

    alone = True

    def normalize(self, x, mean, var):
        y, cache = super().normalize(x, mean, var)
        return y + self.gamma * mean * cache["scale"], cache


class MeanNotSubtractedThroughout(OracleLayer):
    """As above, and dgamma is that of x."""

    alone = True

    def normalize(self, x, mean, var):
        return super().normalize(x, 0 * mean, var)


GAMMA_ABS = everywhere_or_in_one(GammaAbs, GammaAbsAutodiff, GammaAbsPlusEps, GammaAbsPlusEpsAutodiff)
GAMMA_CLAMPED = everywhere_or_in_one(GammaClamped, GammaClampedAutodiff)
GAMMA_PLUS_ONE = everywhere_or_in_one(GammaPlusOne)
GAMMA_EXP = everywhere_or_in_one(GammaExp, GammaExpAutodiff)
BETA_SIGN = everywhere_or_in_one(BetaSign, BetaSignAutodiff, MeanSign, MeanSignThroughout)
MEAN_NOT_SUBTRACTED = everywhere_or_in_one(MeanNotSubtracted, MeanNotSubtractedThroughout)
