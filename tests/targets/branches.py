"""Batch norms with a mistake in one branch: for some inputs, dtypes or steps only.

Each states which id is true of it, and under which condition (`condition`, words of the finding).
"""

import numpy as np

from tests.targets.mutants.right import D2l, Torch

EVERY_KIND = (
    "rank2", "rank3", "rank4", "odd_batch", "one_feature", "one_image", "small_variance", "constant_inexact",
    "large_mean_1e4", "tiny_eps",
    "decimal_momentum", "eval_between", "five_steps", "save_and_restore", "sixteen_bits", "values_1025",
)  # fmt: skip
"""Cases that differ in all that a condition may speak of: enough to tell a mistake that shows in most of them."""


class MomentumInvertedAtRank2(D2l):
    expected, condition = "momentum_inverted", "at rank 2 only"
    cases = EVERY_KIND

    def __init__(self, setup):
        super().__init__(setup)
        if setup.ndim == 2:
            self.momentum = 1 - self.momentum


class GammaIgnoredInFloat32(D2l):
    expected, condition = "gamma_ignored", "in float32 only"

    def output(self, x_hat):
        if x_hat.dtype == np.float32:
            return x_hat + self.along(self.beta, x_hat)
        return super().output(x_hat)


class MomentumHardCodedInFloat64(Torch):
    expected, condition = "momentum_wrong", "in float64 only"
    cases = EVERY_KIND

    def __init__(self, setup):
        super().__init__(setup)
        if setup.dtype == "float64":
            self.momentum = 0.07


class DxIgnoresMeanForOddN(D2l):
    expected, condition = "dx_ignores_mean", "where n is odd"

    def input_gradient(self, dy, saved):
        if self.count(dy) % 2 == 0:
            return super().input_gradient(dy, saved)
        through_var = saved["x_hat"] * self.along((dy * saved["x_hat"]).mean(axis=self.axes(dy)), dy)
        return self.along(self.gamma * saved["scale"], dy) * (dy - through_var)


class AveragedForLargeN(D2l):
    expected, condition = "grads_averaged", "where n is more than"

    def parameter_gradients(self, dy, saved):
        dgamma, dbeta = super().parameter_gradients(dy, saved)
        n = self.count(dy)
        return (dgamma / self.work.type(n), dbeta / self.work.type(n)) if n > 100 else (dgamma, dbeta)


class SwappedWhereNotContiguous(D2l):
    expected, condition = "dgamma_dbeta_swapped", "where x is not contiguous"

    def train(self, x, dy):
        results = super().train(x, dy)
        if not x.flags.c_contiguous:
            results["dgamma"], results["dbeta"] = results["dbeta"], results["dgamma"]
        return results

    def eval(self, x, dy):
        results = super().eval(x, dy)
        if not x.flags.c_contiguous:
            results["dgamma"], results["dbeta"] = results["dbeta"], results["dgamma"]
        return results


class FrozenFromThirdStep(D2l):
    expected, condition = "stats_frozen", "from training step 3 on"

    steps = 0

    def track(self, mean, var, n):
        self.steps += 1
        if self.steps < 3:
            super().track(mean, var, n)


class StatsUpdatedTwiceFromSecondStep(D2l):
    expected, condition = "stats_updated_twice", "from training step 2 on, those before restoring included"

    steps = 0

    def track(self, mean, var, n):
        self.steps += 1
        super().track(mean, var, n)
        if self.steps > 1:
            super().track(mean, var, n)

    def state(self):
        return super().state() | {"steps": self.steps}

    def load_state(self, state):
        super().load_state(state)
        self.steps = state["steps"]


class StatsAsStdInFirstStep(D2l):
    expected, condition = "std_averaged", "in a layer's first step only"

    steps = 0

    def train(self, x, dy):
        self.steps += 1
        return super().train(x, dy)

    def eval(self, x, dy):
        self.steps += 1
        return super().eval(x, dy)

    def track(self, mean, var, n):
        super().track(mean, np.sqrt(var) if self.steps == 1 else var, n)


class MomentumInvertedAfterRestoring(D2l):
    expected, condition = "momentum_inverted", "after restoring only"

    def load_state(self, state):
        super().load_state(state)
        self.momentum = 1 - self.momentum


class GammaIgnoredInFloat32AtRank4(D2l):
    expected, condition = "gamma_ignored", "in float32 and at rank 4 only"

    def output(self, x_hat):
        if x_hat.dtype == np.float32 and x_hat.ndim == 4:
            return x_hat + self.along(self.beta, x_hat)
        return super().output(x_hat)


class GammaIgnoredIn16Bits(D2l):
    expected, condition = "gamma_ignored", "in 16 bits only"
    dtypes = ("float32", "bfloat16", "float16")
    cases = ("rank2", "rank4", "sixteen_bits", "small_variance")

    def train(self, x, dy):
        self.narrow = x.dtype.itemsize == 2
        return super().train(x, dy)

    def eval(self, x, dy):
        self.narrow = x.dtype.itemsize == 2
        return super().eval(x, dy)

    def output(self, x_hat):
        return x_hat + self.along(self.beta, x_hat) if self.narrow else super().output(x_hat)


class MomentumInvertedIn16BitsOneCase(D2l):
    """Its one case in 16 bits is one of those that 32 bits share."""

    expected, condition = "momentum_inverted", "in 16 bits only (seen in one case only)"
    dtypes = ("float32", "bfloat16", "float16")
    cases = ("rank2", "rank4", "small_variance")

    def __init__(self, setup):
        super().__init__(setup)
        if setup.dtype not in ("float32", "float64"):
            self.momentum = 1 - self.momentum


class BetaSignForOneChannel(D2l):
    expected, condition = "beta_sign", "with a single channel"
    cases = ("rank2", "rank4", "one_channel", "one_feature")

    def output(self, x_hat):
        beta = -self.beta if len(self.beta) == 1 else self.beta
        return self.along(self.gamma, x_hat) * x_hat + self.along(beta, x_hat)


class BetaSignForOneChannelOneCase(BetaSignForOneChannel):
    expected, condition = "beta_sign", "with a single channel (seen in one case only)"
    cases = ("rank2", "rank4", "one_channel")


class BetaIgnoredForOneSample(D2l):
    expected, condition = "beta_ignored", "where the batch holds one sample"
    cases = ("rank2", "rank4", "one_image", "predict_one_sample", "predict_one_pixel")

    def output(self, x_hat):
        return self.along(self.gamma, x_hat) * x_hat if len(x_hat) == 1 else super().output(x_hat)


class GammaAbsForEvenN(D2l):
    expected, condition = "gamma_abs", "where n is even"
    cases = ("rank2", "rank4", "odd_batch", "values_1025")

    def train(self, x, dy):
        return self.with_abs(super().train, x, dy)

    def eval(self, x, dy):
        return self.with_abs(super().eval, x, dy)

    def with_abs(self, method, x, dy):
        given, self.gamma = self.gamma, np.abs(self.gamma) if self.count(x) % 2 == 0 else self.gamma
        try:
            return method(x, dy)
        finally:
            self.gamma = given


class FrozenForTinyMomentum(D2l):
    expected, condition = "stats_frozen", "where the new batch weighs 0.01 (seen in one case only)"
    cases = ("rank2", "decimal_momentum", "tiny_momentum")

    def weight(self):
        return super().weight() if self.momentum < 0.95 else self.work.type(0)


class EpsRootedWhereSmall(D2l):
    expected, condition = "eps_wrong", "where eps is 1e-07 (seen in one case only)"
    cases = ("rank2", "unusual_eps", "tiny_eps", "eps_one")

    def inverse_std(self, var):
        eps = self.work.type(self.eps)
        return 1 / (np.sqrt(var) + np.sqrt(eps)) if self.eps < 1e-6 else super().inverse_std(var)


class SwappedForManyChannels(D2l):
    expected, condition = "dgamma_dbeta_swapped", "where the number of channels is more than"
    cases = ("rank2", "rank4", "many_channels")

    def parameter_gradients(self, dy, saved):
        dgamma, dbeta = super().parameter_gradients(dy, saved)
        return (dbeta, dgamma) if len(self.gamma) > 100 else (dgamma, dbeta)


class BetaIgnoredInPrediction(D2l):
    """A mistake of one mode has variants of its own: no condition is needed."""

    expected, condition = "beta_ignored", ""
    cases = ("rank2", "rank4", "eval_between")

    def eval(self, x, dy):
        given, self.beta = self.beta, 0 * self.beta
        try:
            return super().eval(x, dy)
        finally:
            self.beta = given


class MomentumInvertedAtRank3OneCase(D2l):
    expected, condition = "momentum_inverted", "at rank 3 only (seen in one case only)"
    cases = ("rank2", "rank3", "rank4")

    def __init__(self, setup):
        super().__init__(setup)
        if setup.ndim == 3:
            self.momentum = 1 - self.momentum


class BetaIgnoredAtRank4OneOther(D2l):
    expected, condition = "beta_ignored", "at rank 4 only (one case only shows it right elsewhere)"
    cases = ("rank2", "rank4", "all_axes_equal")

    def output(self, x_hat):
        return self.along(self.gamma, x_hat) * x_hat if x_hat.ndim == 4 else super().output(x_hat)


class OneMistakeInEachType(D2l):
    """As Keras 2: the new value's weight has 32 bits in float64, the fused kernel of float32 takes Bessel's factor."""

    expected = (("settings_rounded", "in float64 only"), ("moving_var_unbiased", "in float32 and at rank 4 only"))
    cases = ("rank2", "rank3", "rank4", "odd_batch", "decimal_momentum", "tiny_momentum", "all_axes_equal")

    def __init__(self, setup):
        super().__init__(setup)
        self.fused = setup.dtype == "float32" and setup.ndim == 4
        if setup.dtype == "float64":
            self.momentum = 1 - float(np.float32(1 - self.momentum))

    def track(self, mean, var, n):
        super().track(mean, var * n / (n - 1) if self.fused else var, n)


class BiasedByRoundedWeights(Torch):
    """As mlx until 0.31: in float64 eps and each of the two weights have 32 bits; the variance has no Bessel factor."""

    def __init__(self, setup):
        super().__init__(setup)
        self.eps = float(np.float32(setup.eps))
        self.keep, self.new = (self.work.type(np.float32(weight)) for weight in (1 - setup.momentum, setup.momentum))

    def track(self, mean, var, n):  # noqa: ARG002
        self.moving_mean = self.keep * self.moving_mean + self.new * mean
        self.moving_var = self.keep * self.moving_var + self.new * var


BRANCHES = tuple(value for value in vars().copy().values() if isinstance(value, type) and "condition" in vars(value))
