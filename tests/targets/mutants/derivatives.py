"""Wrong in forward mode or in second derivatives alone."""

import numpy as np

from tests.targets.mutants.twice import Twice, TwiceByConstants, TwiceInTorchsStyle


class JvpByConstants(Twice):
    """Forward mode by the statistics of the batch, which were detached."""

    expected, case = "jvp_statistics_constant", "jvp"

    def tangent_of_mean(self, tx):
        return 0 * super().tangent_of_mean(tx)

    def tangent_of_scale(self, scale, var, t_var):
        return 0 * super().tangent_of_scale(scale, var, t_var)


class JvpMeanConstant(TwiceInTorchsStyle):
    expected, case = "jvp_mean_constant", "jvp"

    def tangent_of_mean(self, tx):
        return 0 * super().tangent_of_mean(tx)


class JvpVarConstant(Twice):
    expected, case = "jvp_var_constant", "jvp"

    def tangent_of_scale(self, scale, var, t_var):
        return 0 * super().tangent_of_scale(scale, var, t_var)


class JvpWithoutGamma(Twice):
    """The tangents of the parameters were forgotten: gamma's."""

    expected, case = "jvp_parameters_ignored", "jvp"

    def train_jvp(self, x, tx, tgamma, tbeta):
        return super().train_jvp(x, tx, 0 * tgamma, tbeta)


class JvpWithoutParameters(TwiceInTorchsStyle):
    expected, case = "jvp_parameters_ignored", "jvp_frozen"

    def train_jvp(self, x, tx, tgamma, tbeta):
        return super().train_jvp(x, tx, 0 * tgamma, 0 * tbeta)

    def eval_jvp(self, x, tx, tgamma, tbeta):
        return super().eval_jvp(x, tx, 0 * tgamma, 0 * tbeta)


class JvpScaleWithoutEps(Twice):
    """d scale = -scale/(2 var) d var."""

    expected, case = "derivative_eps_misplaced", "jvp_small_variance"

    def tangent_of_scale(self, scale, var, t_var):
        return -scale / (2 * var) * t_var


class SavedAsConstants(Twice):
    """A custom backward whose saved tensors hang on nothing: dx2 is 0."""

    expected, case = "double_statistics_constant", "double"

    def train_double(self, x, dy, *directions):
        result = super().train_double(x, dy, *directions)
        return result | {"dx2": np.zeros_like(x)}


class DetachedTwice(TwiceByConstants):
    expected, case = "double_statistics_constant", "double"

    def train_double(self, x, dy, *directions):
        return self.of_constants(x, dy, *directions)


class SecondNotCentred(TwiceInTorchsStyle):
    """The gradient by x - mean is given as that by x."""

    expected, case = "double_mean_constant", "double"

    def less_its_mean(self, rows):
        return rows


class SecondScaleConstant(Twice):
    """x_hat = (x - mean) r with a constant r, when backward is differentiated."""

    expected, case = "double_var_constant", "double"

    def through_scale(self, centred, r, of_scale):
        return 0 * super().through_scale(centred, r, of_scale)


class SecondWithoutCurvature(Twice):
    """The derivative of r^3 is missing."""

    expected, case = "double_missing_term", "double"

    def curvature(self, r, d_scale, of_d_var):
        return 0 * super().curvature(r, d_scale, of_d_var)


class SecondCurvatureOnce(TwiceInTorchsStyle):
    """The derivative of r^3 taken for r^2."""

    expected, case = "double_missing_term", "double_rank2"

    def curvature(self, r, d_scale, of_d_var):
        return super().curvature(r, d_scale, of_d_var) / 3


class NoSecondGamma(Twice):
    expected, case = "double_missing_dgamma2", "double"

    def second_gamma(self, dgamma2, dy, moves, r):
        return 0 * super().second_gamma(dgamma2, dy, moves, r)


class SecondGammaWithoutVar(TwiceInTorchsStyle):
    """dx's term through the variance was taken to be free of gamma."""

    expected, case = "double_missing_dgamma2", "double"

    def second_gamma(self, dgamma2, dy, moves, r):  # noqa: ARG002
        return r * (dy * moves).sum(axis=self.axes(dy))


class SecondDyWithoutVar(Twice):
    """ddy lacks the term through the variance."""

    expected, case = "double_missing_ddy", "double"

    def train_double(self, x, dy, ddx, ddgamma, ddbeta):
        _, saved = self.forward(x, *self.statistics(x))
        moves = ddx - self.along(ddx.mean(axis=self.axes(x)), x)
        t_hat = moves * self.along(saved["scale"], x)
        ddy = self.tangent_of_output(t_hat, saved["x_hat"], ddgamma, ddbeta)
        return super().train_double(x, dy, ddx, ddgamma, ddbeta) | {"ddy": ddy}


class SecondWithoutDdgamma(TwiceInTorchsStyle):
    expected, case = "double_parameters_ignored", "double"

    def train_double(self, x, dy, ddx, ddgamma, ddbeta):
        return super().train_double(x, dy, ddx, 0 * ddgamma, ddbeta)


class SecondWithoutDdbeta(Twice):
    expected, case = "double_parameters_ignored", "double_frozen"

    def train_double(self, x, dy, ddx, ddgamma, ddbeta):
        return super().train_double(x, dy, ddx, ddgamma, 0 * ddbeta)

    def eval_double(self, x, dy, ddx, ddgamma, ddbeta):
        return super().eval_double(x, dy, ddx, 0 * ddgamma, 0 * ddbeta)


class FrozenTwiceAsTraining(Twice):
    """A frozen layer that is differentiated by the batch's own statistics."""

    expected, case = "frozen_as_training", "double_frozen"

    def eval_double(self, x, dy, *directions):
        return self.train_double(x, dy, *directions)

    def eval_jvp(self, x, *tangents):
        return self.train_jvp(x, *tangents)


class FrozenJvpWithTerms(TwiceInTorchsStyle):
    """Training's formula on the moving statistics."""

    expected, case = "frozen_as_training", "jvp_frozen"

    def eval_jvp(self, x, tx, tgamma, tbeta):
        _, saved = self.forward(x, *self.statistics_for_prediction(x))
        axes, x_hat = self.axes(x), saved["x_hat"]
        moves = tx - self.along(tx.mean(axis=axes), x)
        moves = moves - x_hat * self.along((moves * x_hat).mean(axis=axes), x)
        t_hat = moves * self.along(saved["scale"], x)
        return {"ty": self.tangent_of_output(t_hat, x_hat, tgamma, tbeta)}


class ConstantsBothWays(TwiceByConstants):
    """Two mistakes, each in its own operation."""

    expected, case = ("jvp_var_constant", "double_statistics_constant"), "jvp"

    def tangent_of_scale(self, scale, var, t_var):
        return 0 * super().tangent_of_scale(scale, var, t_var)

    def train_double(self, x, dy, *directions):
        return self.of_constants(x, dy, *directions)


class SecondClipped(Twice):
    """What no known mistake does: dx2 is cut off."""

    expected, case = "unexplained", "double"

    def less_its_mean(self, rows):
        limit = self.work.type(0.1)
        return np.clip(super().less_its_mean(rows), -limit, limit)
