"""Wrong in two places."""

import numpy as np

from tests.targets.mutants.forward import BetaForgotten, WritesIntoInput
from tests.targets.mutants.gradients import Averaged, DgammaOfInput, DxWithoutMean, Swapped
from tests.targets.mutants.moving import Debiased, MomentumInvertedD2l, MomentumInvertedTorch, UnbiasedD2l
from tests.targets.mutants.right import D2l, Torch
from tests.targets.mutants.variance import EpsMissing, FastVariance, FastVarianceUnclipped32


class MomentumAndBessel(MomentumInvertedD2l, UnbiasedD2l):
    expected, case = ("momentum_inverted", "moving_var_unbiased"), "two_values"


class MomentumAndBesselTorch(MomentumInvertedTorch):
    expected, case = ("momentum_inverted", "moving_var_biased"), "two_values"

    def track(self, mean, var, n):
        D2l.track(self, mean, var, n)


class EpsAndMean(EpsMissing, DxWithoutMean):
    expected, case = ("eps_missing", "dx_ignores_mean"), "small_variance"


class AveragedAndFrozen(Averaged):
    expected, case = ("grads_averaged", "stats_frozen"), "rank2"

    def track(self, mean, var, n):
        pass


class SwappedAndUnsaved(Swapped):
    expected, case = ("dgamma_dbeta_swapped", "state_not_saved"), "save_and_restore"

    def load_state(self, state):
        self.gamma, self.beta = state["gamma"], state["beta"]


class BetaAndMomentum(BetaForgotten):
    expected, case = ("beta_ignored", "momentum_inverted"), "rank2"

    def weight(self):
        return self.work.type(self.momentum)


class FastAndInverted(FastVariance, MomentumInvertedD2l):
    expected, case = ("fast_variance", "momentum_inverted"), "large_mean_1e4"


class FastAndByBatch(FastVariance):
    """Prediction takes the statistics of its batch, by the same formula."""

    expected, case = ("fast_variance", "eval_uses_batch_stats"), "large_mean_1e4"

    def statistics_for_prediction(self, x):
        return self.statistics(x)


class FastAndByBatchTorch(FastVarianceUnclipped32):
    expected, case = ("fast_variance", "eval_uses_batch_stats"), "eval_between"

    def statistics_for_prediction(self, x):
        return self.statistics(x)


class FastInFloat32(FastVariance):
    """float64 in and out, E[x^2] - E[x]^2 in float32 inside, as Keras on torch."""

    expected, case = ("fast_variance", "low_precision_stats"), "large_mean_1e4"

    def statistics(self, x):
        mean, var = super().statistics(x.astype(np.float32))
        return mean.astype(self.work), var.astype(self.work)


class MutatesAndDgamma(WritesIntoInput):
    """Once x is centred in place, dgamma is computed from it."""

    expected, case = ("input_mutated", "dgamma_not_normalized"), "rank2"

    def parameter_gradients(self, dy, saved):
        _, dbeta = super().parameter_gradients(dy, saved)
        return (dy * saved["x"]).sum(axis=self.axes(dy)), dbeta


class EvalByBatchAndDgamma(DgammaOfInput):
    expected, case = ("eval_uses_batch_stats", "dgamma_not_normalized"), "rank2"

    def statistics_for_prediction(self, x):
        return self.statistics(x)


class GammaAndUpdatedTwice(Torch):
    expected, case = ("gamma_ignored", "stats_updated_twice"), "five_steps"

    def output(self, x_hat):
        return x_hat + self.along(self.beta, x_hat)

    def track(self, mean, var, n):
        super().track(mean, var, n)
        super().track(np.array(mean), np.array(var), n)


class DebiasedAndBessel(Debiased, UnbiasedD2l):
    expected, case = ("debiased", "moving_var_unbiased"), "five_steps"
