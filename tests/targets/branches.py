"""Batch norms with a mistake in one branch: for some inputs, dtypes or steps only.

Each states which id is true of it, and under which condition (`condition`, words of the finding).
"""

import numpy as np

from tests.targets.mutants.right import D2l, Torch


class MomentumInvertedAtRank2(D2l):
    expected, condition = "momentum_inverted", "at rank 2 only"

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


BRANCHES = tuple(value for value in vars().copy().values() if isinstance(value, type) and "condition" in vars(value))
