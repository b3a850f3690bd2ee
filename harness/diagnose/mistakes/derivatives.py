"""Mistakes in forward mode and second derivatives: what is taken for a constant, and terms that are missing.

`WithFactors` is the formula of `reference/second_derivatives.py` with a factor at each term; a mistake sets some of
them to 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.judge.oracle import OracleLayer
from reference.batch_norm import from_rows, to_rows


class WithFactors(OracleLayer):
    """Each number below is 1 in a layer that is right. In training mode."""

    # of ty and ddy
    mean_of_ty = var_of_ty = mean_of_ddy = var_of_ddy = 1.0
    tgamma = tbeta = ddgamma = ddbeta = 1.0
    x_of_ddy = 1.0
    # of dx2: a' c, g' h, xh T, xh h c, the means taken off ddx and off dy, what comes by way of dgamma
    moves_term = grad_term = both_term = curvature_term = centred_moves = centred_grad = by_dgamma = by_dgamma_var = 1.0
    # of dgamma2
    dgamma2_both = dgamma2_product = 1.0

    def train_jvp(self, x, tx, tgamma, tbeta):
        ty = self._along(x, tx, (self.tgamma * tgamma, self.tbeta * tbeta), self.mean_of_ty, self.var_of_ty)
        return from_rows(ty, x.shape, 1)

    def train_double(self, x, dy, ddx, ddgamma, ddbeta):
        x_hat, scale, slope = self.standardized(x)
        moves, grad = to_rows(ddx, 1), to_rows(dy, 1)
        n = len(moves)
        a, g = moves - moves.mean(axis=0), grad - grad.mean(axis=0)
        h, c, both = ((p * q).mean(axis=0) for p, q in ((a, x_hat), (g, x_hat), (a, g)))
        curvature = self.curvature_term * slope * slope * (2 + slope)
        a, g = a + (1 - self.centred_moves) * moves.mean(axis=0), g + (1 - self.centred_grad) * grad.mean(axis=0)
        dx2 = x_hat * (curvature * h * c - self.both_term * slope * both)
        dx2 = dx2 - slope * (self.moves_term * c * a + self.grad_term * h * g)
        dx2 = self.gamma * self.second_scale(x, scale) ** 2 * dx2
        dx2 = dx2 + self.by_dgamma * ddgamma * scale * (g - self.by_dgamma_var * x_hat * (slope * c))
        parameters = (self.ddgamma * ddgamma, self.ddbeta * ddbeta)
        ddy = self._along(x, self.x_of_ddy * ddx, parameters, self.mean_of_ddy, self.var_of_ddy)
        dgamma2 = n * scale * (self.dgamma2_both * both - self.dgamma2_product * slope * h * c)
        return from_rows(dx2, x.shape, 1), from_rows(ddy, x.shape, 1), dgamma2

    def second_scale(self, x: np.ndarray, scale: np.ndarray) -> np.ndarray:  # noqa: ARG002 - of a mistake
        """The scale in what is differentiated twice."""
        return scale

    def _along(self, x: np.ndarray, moves: np.ndarray, parameters: Any, mean: float, var: float) -> np.ndarray:
        x_hat, scale, slope = self.standardized(x)
        rows = to_rows(moves, 1)
        along = ((rows - rows.mean(axis=0)) * x_hat).mean(axis=0)
        of_x = self.gamma * scale * (rows - mean * rows.mean(axis=0) - var * x_hat * (slope * along))
        return of_x + parameters[0] * x_hat + parameters[1]


def with_factors(name: str, **factors: float) -> type[WithFactors]:
    return type(name, (WithFactors,), factors)


JVP_STATISTICS = (with_factors("JvpByConstants", mean_of_ty=0.0, var_of_ty=0.0),)
JVP_MEAN = (with_factors("JvpMeanConstant", mean_of_ty=0.0),)
JVP_VAR = (with_factors("JvpVarConstant", var_of_ty=0.0),)
JVP_PARAMETERS = (
    with_factors("JvpWithoutGamma", tgamma=0.0),
    with_factors("JvpWithoutBeta", tbeta=0.0),
    with_factors("JvpWithoutParameters", tgamma=0.0, tbeta=0.0),
)

NOTHING_BY_X = {"moves_term": 0.0, "grad_term": 0.0, "both_term": 0.0, "curvature_term": 0.0}
DOUBLE_STATISTICS = (
    with_factors("DoubleBackwardOfConstants", **NOTHING_BY_X, by_dgamma=0.0),
    with_factors("DoubleDxOfConstants", **NOTHING_BY_X),
    with_factors("DoubleDxByDgammaOfConstants", **NOTHING_BY_X, centred_grad=0.0, by_dgamma_var=0.0),
    with_factors("DoubleOfJvp", moves_term=0.0, curvature_term=0.0, centred_grad=0.0, by_dgamma_var=0.0),
    with_factors("DoubleOfJvpInReverse", both_term=0.0, curvature_term=0.0, centred_grad=0.0, by_dgamma_var=0.0),
)
"""Backward's x_hat and scale are constants when it is differentiated: dx2 is 0, or what comes through dgamma alone.

The last two: forward mode's mean and scale are, when it is differentiated in forward or in reverse mode, and x_hat
moves by x alone. PyTorch has both.
"""


class DoubleOfDetached(OracleLayer):
    """The layer itself takes the batch's mean and variance for constants."""

    def train_double(self, x, dy, ddx, ddgamma, ddbeta):
        x_hat, scale, _ = self.standardized(x)
        moves, grad = to_rows(ddx, 1), to_rows(dy, 1)
        ddy = self.along_constants(moves, ddgamma, ddbeta, x_hat, scale)
        dgamma2 = (moves * grad).sum(axis=0) * scale
        return from_rows(ddgamma * scale * grad, x.shape, 1), from_rows(ddy, x.shape, 1), dgamma2


class DoubleScaleConstant(OracleLayer):
    """x_hat moves with x in backward, but only by the mean: x_hat = (x - mean) * constant."""

    def train_double(self, x, dy, ddx, ddgamma, ddbeta):
        x_hat, scale, slope = self.standardized(x)
        _, ddy, dgamma2 = super().train_double(x, dy, ddx, ddgamma, ddbeta)
        moves, grad = to_rows(ddx, 1), to_rows(dy, 1)
        moves, grad = moves - moves.mean(axis=0), grad - grad.mean(axis=0)
        h, c = (moves * x_hat).mean(axis=0), (grad * x_hat).mean(axis=0)
        rows = -self.gamma * scale**2 * slope * (c * moves + h * grad) + ddgamma * scale * grad
        return from_rows(rows, x.shape, 1), ddy, dgamma2


DOUBLE_MEAN = (
    with_factors("DoubleGradNotCentred", centred_grad=0.0),
    with_factors("DoubleMovesNotCentred", centred_moves=0.0),
    with_factors("DoubleNotCentred", centred_grad=0.0, centred_moves=0.0),
)
DOUBLE_VAR = (
    DoubleScaleConstant,
    with_factors("DoubleScaleSaved", curvature_term=2 / 3, both_term=0.0),
    with_factors("DoubleScaleOfJvp", curvature_term=2 / 3, moves_term=0.0),
    with_factors("DoubleXhatConstant", moves_term=0.0, grad_term=0.0, by_dgamma=0.0),
)
"""The scale alone is a constant in backward, and x_hat moves by the mean; or x_hat moves as it must; or so in forward
mode, differentiated in forward mode again; or x_hat does not move."""

DOUBLE_TERM = (
    with_factors("DoubleWithoutCovariance", both_term=0.0),
    with_factors("DoubleWithoutCurvature", curvature_term=0.0),
    with_factors("DoubleCurvatureOnce", curvature_term=1 / 3),
    with_factors("DoubleCurvatureTwice", curvature_term=2 / 3),
    with_factors("DoubleWithoutMoves", moves_term=0.0),
    with_factors("DoubleWithoutGrad", grad_term=0.0),
)
MISSING_DGAMMA2 = (
    with_factors("NoDgamma2", dgamma2_both=0.0, dgamma2_product=0.0),
    with_factors("Dgamma2WithoutVar", dgamma2_product=0.0),
    with_factors("Dgamma2WithoutCovariance", dgamma2_both=0.0),
)
MISSING_DDY = (
    with_factors("DdyByConstants", mean_of_ddy=0.0, var_of_ddy=0.0),
    with_factors("DdyWithoutMean", mean_of_ddy=0.0),
    with_factors("DdyWithoutVar", var_of_ddy=0.0),
    with_factors("DdyWithoutX", x_of_ddy=0.0),
    with_factors("NoDdy", x_of_ddy=0.0, ddgamma=0.0, ddbeta=0.0),
)
DOUBLE_PARAMETERS = (
    with_factors("DoubleWithoutDdgamma", by_dgamma=0.0, ddgamma=0.0),
    with_factors("DoubleWithoutDdgammaInDx2", by_dgamma=0.0),
    with_factors("DoubleWithoutDdgammaInDdy", ddgamma=0.0),
    with_factors("DoubleWithoutDdbeta", ddbeta=0.0),
    with_factors("DoubleWithoutBoth", by_dgamma=0.0, ddgamma=0.0, ddbeta=0.0),
)


class SecondScaleWithoutEps(WithFactors):
    """What is differentiated twice divides by the variance, without eps."""

    def second_scale(self, x, scale):  # noqa: ARG002 - eps is in the scale
        return 1 / np.sqrt(self.batch_statistics(to_rows(x, 1))[1])


class SecondScaleOtherEps(WithFactors):
    """It has eps on the other side of the root."""

    def second_scale(self, x, scale):  # noqa: ARG002 - as above
        var = self.batch_statistics(to_rows(x, 1))[1]
        inside = self.conventions.eps_at == "inside_sqrt"
        return 1 / (np.sqrt(var) + self.eps) if inside else 1 / np.sqrt(var + self.eps)


class JvpSlopeWithoutEps(OracleLayer):
    """The tangent of the scale is -scale/(2 var), without eps."""

    def train_jvp(self, x, tx, tgamma, tbeta):
        x_hat, scale, slope = self.standardized(x)
        moves = to_rows(tx, 1)
        moves = moves - moves.mean(axis=0)
        var = self.batch_statistics(to_rows(x, 1))[1]
        along = (moves * x_hat).mean(axis=0) / (var * scale**2)
        ty = self.gamma * scale * (moves - x_hat * (slope * along)) + tgamma * x_hat + tbeta
        return from_rows(ty, x.shape, 1)


EPS_MISPLACED = (SecondScaleWithoutEps, SecondScaleOtherEps, JvpSlopeWithoutEps)


class PredictionByBatch(OracleLayer):
    """Prediction is differentiated as training is: by the batch's own mean and variance, which move with x."""

    def eval_jvp(self, x, tx, tgamma, tbeta):
        return self.train_jvp(x, tx, tgamma, tbeta)

    def eval_double(self, x, dy, ddx, ddgamma, ddbeta):
        return self.train_double(x, dy, ddx, ddgamma, ddbeta)


class FrozenFormula(OracleLayer):
    """Training's formula on prediction's own x_hat and scale."""

    in_prediction = False

    def standardized(self, x):
        if not self.in_prediction:
            return super().standardized(x)
        _, cache = self.eval(x)
        return cache["x_hat"], cache["scale"], self.variance_slope(self.moving_var, cache["scale"])

    def eval_jvp(self, x, tx, tgamma, tbeta):
        self.in_prediction = True
        return self.train_jvp(x, tx, tgamma, tbeta)

    def eval_double(self, x, dy, ddx, ddgamma, ddbeta):
        self.in_prediction = True
        return self.train_double(x, dy, ddx, ddgamma, ddbeta)


class FrozenJvpWithoutParameters(OracleLayer):
    """In prediction the tangents of gamma and beta have no part."""

    def eval_jvp(self, x, tx, tgamma, tbeta):
        return super().eval_jvp(x, tx, 0 * tgamma, 0 * tbeta)


class FrozenDoubleWithoutParameters(OracleLayer):
    """In prediction the directions of gamma and beta have no part."""

    def eval_double(self, x, dy, ddx, ddgamma, ddbeta):
        return super().eval_double(x, dy, ddx, 0 * ddgamma, 0 * ddbeta)


class FrozenNoDx2(OracleLayer):
    """In prediction dx2 is taken for 0."""

    def eval_double(self, x, dy, ddx, ddgamma, ddbeta):
        dx2, ddy, dgamma2 = super().eval_double(x, dy, ddx, ddgamma, ddbeta)
        return 0 * dx2, ddy, dgamma2


class FrozenNoDgamma2(OracleLayer):
    """In prediction dgamma2 is taken for 0."""

    def eval_double(self, x, dy, ddx, ddgamma, ddbeta):
        dx2, ddy, dgamma2 = super().eval_double(x, dy, ddx, ddgamma, ddbeta)
        return dx2, ddy, 0 * dgamma2


class FrozenNoDdy(OracleLayer):
    """In prediction ddy lacks what comes through dx."""

    def eval_double(self, x, dy, ddx, ddgamma, ddbeta):
        dx2, _, dgamma2 = super().eval_double(x, dy, ddx, ddgamma, ddbeta)
        return dx2, super().eval_double(x, dy, 0 * ddx, ddgamma, ddbeta)[1], dgamma2
