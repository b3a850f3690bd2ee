"""Mistakes in what gamma and beta do: they are left out of y, or of dx."""

from __future__ import annotations

import numpy as np

from harness.diagnose.mistakes.in_mode import everywhere_or_in_one
from harness.judge.oracle import OracleLayer


class DxIgnoresGamma(OracleLayer):
    """y has gamma, dx lacks it."""

    def train_backward(self, dy, cache):
        _, dgamma, dbeta = super().train_backward(dy, cache)
        return self._dx_without_gamma(OracleLayer.train_backward, dy, cache), dgamma, dbeta

    def eval_backward(self, dy, cache):
        _, dgamma, dbeta = super().eval_backward(dy, cache)
        return self._dx_without_gamma(OracleLayer.eval_backward, dy, cache), dgamma, dbeta

    def _dx_without_gamma(self, backward, dy, cache):
        gamma, self.gamma = self.gamma, np.ones_like(self.gamma)
        try:
            return backward(self, dy, cache)[0]
        finally:
            self.gamma = gamma


class YIgnoresGamma(OracleLayer):
    """y lacks gamma, dx has it."""

    def normalize(self, x, mean, var):
        y, cache = super().normalize(x, mean, var)
        return y - (self.gamma - 1) * cache["x_hat"], cache


class GammaIgnored(YIgnoresGamma):
    """gamma plays no part in y or dx."""

    def train_backward(self, dy, cache):
        return self._without_gamma(super().train_backward, dy, cache)

    def eval_backward(self, dy, cache):
        return self._without_gamma(super().eval_backward, dy, cache)

    def _without_gamma(self, backward, dy, cache):
        gamma, self.gamma = self.gamma, np.ones_like(self.gamma)
        try:
            return backward(dy, cache)
        finally:
            self.gamma = gamma


class GammaIgnoredAndConstant(GammaIgnored):
    """As above, and its gradient is zero: there is no gamma at all."""

    def train_backward(self, dy, cache):
        dx, dgamma, dbeta = super().train_backward(dy, cache)
        return dx, 0 * dgamma, dbeta

    def eval_backward(self, dy, cache):
        dx, dgamma, dbeta = super().eval_backward(dy, cache)
        return dx, 0 * dgamma, dbeta


class BetaIgnored(OracleLayer):
    def normalize(self, x, mean, var):
        y, cache = super().normalize(x, mean, var)
        return y - self.beta, cache


class BetaIgnoredAndConstant(BetaIgnored):
    """As above, and its gradient is zero."""

    def train_backward(self, dy, cache):
        dx, dgamma, dbeta = super().train_backward(dy, cache)
        return dx, dgamma, 0 * dbeta

    def eval_backward(self, dy, cache):
        dx, dgamma, dbeta = super().eval_backward(dy, cache)
        return dx, dgamma, 0 * dbeta


GAMMA_IGNORED = (
    *everywhere_or_in_one(GammaIgnored, DxIgnoresGamma, YIgnoresGamma),
    GammaIgnoredAndConstant,
)
BETA_IGNORED = (*everywhere_or_in_one(BetaIgnored), BetaIgnoredAndConstant)
