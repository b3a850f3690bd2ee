"""Wrong in one branch of a derivative or of a frozen step: at one rank, in one type, above a size. Right elsewhere.

`condition` is what the diagnosis must say of where.
"""

import numpy as np

from tests.targets.mutants.options import RightD2l
from tests.targets.mutants.twice import Twice, TwiceInTorchsStyle


class SecondWithoutCurvatureAtRank4(Twice):
    """A kernel for images lacks the derivative of r^3."""

    expected, case = "double_missing_term", "double"
    condition = "at rank 4 only"

    def train_double(self, x, *directions):
        self.rank = x.ndim
        return super().train_double(x, *directions)

    def curvature(self, r, d_scale, of_d_var):
        return (self.rank != 4) * super().curvature(r, d_scale, of_d_var)


class SecondNotCentredAtRank3(TwiceInTorchsStyle):
    expected, case = "double_mean_constant", "double_rank3"
    condition = "at rank 3 only (seen in one case only)"

    def less_its_mean(self, rows):
        return rows if rows.ndim == 3 else super().less_its_mean(rows)


class SecondWithoutCurvatureAtRank5(Twice):
    """That of volumes lacks it."""

    expected, case = "double_missing_term", "double_rank5"
    condition = "at rank 5 only (seen in one case only)"

    def train_double(self, x, *directions):
        self.rank = x.ndim
        return super().train_double(x, *directions)

    def curvature(self, r, d_scale, of_d_var):
        return (self.rank != 5) * super().curvature(r, d_scale, of_d_var)


class NoSecondGammaInFloat32(Twice):
    """The fused kernel is for float32."""

    expected, case = "double_missing_dgamma2", "double"
    condition = "in float32 only"

    def second_gamma(self, dgamma2, dy, moves, r):
        return (self.dtype != np.float32) * super().second_gamma(dgamma2, dy, moves, r)


class NoSecondGammaInFloat32AtRank2(TwiceInTorchsStyle):
    expected, case = "double_missing_dgamma2", "double_rank2"
    condition = "in float32 and at rank 2 only"

    def second_gamma(self, dgamma2, dy, moves, r):
        right = self.dtype != np.float32 or dy.ndim != 2
        return right * super().second_gamma(dgamma2, dy, moves, r)


class JvpMeanConstantInFloat64(Twice):
    expected, case = "jvp_mean_constant", "jvp"
    condition = "in float64 only"

    def tangent_of_mean(self, tx):
        return (self.dtype != np.float64) * super().tangent_of_mean(tx)


class JvpByFlatRowsAtRank2(TwiceInTorchsStyle):
    """Rows go another way, on which the variance was detached."""

    expected, case = "jvp_var_constant", "jvp_rank2"
    condition = "at rank 2 only (seen in one case only)"

    def train_jvp(self, x, *tangents):
        self.rank = x.ndim
        return super().train_jvp(x, *tangents)

    def tangent_of_scale(self, scale, var, t_var):
        return (self.rank != 2) * super().tangent_of_scale(scale, var, t_var)


class JvpMeanConstantAtRank5(Twice):
    expected, case = "jvp_mean_constant", "jvp_rank5"
    condition = "at rank 5 only (seen in one case only)"

    def train_jvp(self, x, *tangents):
        self.rank = x.ndim
        return super().train_jvp(x, *tangents)

    def tangent_of_mean(self, tx):
        return (self.rank != 5) * super().tangent_of_mean(tx)


class FrozenTwiceAsTrainingAtRank4(Twice):
    expected, case = "frozen_as_training", "double_frozen"
    condition = "at rank 4 only (seen in one case only)"

    def eval_double(self, x, dy, *directions):
        as_training = self.train_double if x.ndim == 4 else super().eval_double
        return as_training(x, dy, *directions)


class FrozenMovesInFloat32(RightD2l):
    expected, case = "frozen_moves_statistics", "frozen"
    condition = "in float32 only"

    def frozen_step(self, x, dy):
        values = super().frozen_step(x, dy)
        if self.dtype == np.float32:
            self.track(*self.statistics(self.wide(x)), self.count(x))
        return values


class FrozenByBatchAtRank4(RightD2l):
    expected, case = "frozen_by_batch", "frozen"
    condition = "at rank 4 only (one case only shows it right elsewhere)"

    def frozen_step(self, x, dy):
        kept = self.moving_mean, self.moving_var
        values = self.trained(x, dy) if x.ndim == 4 else super().frozen_step(x, dy)
        self.moving_mean, self.moving_var = kept
        return values
