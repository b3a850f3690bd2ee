"""Wrong in the moving statistics."""

import numpy as np

from tests.targets.mutants.right import D2l, Debiasing, Flax, Keras, Torch


class MomentumInvertedD2l(D2l):
    expected, case = "momentum_inverted", "decimal_momentum"

    def weight(self):
        return self.work.type(self.momentum)


class MomentumInvertedTorch(Torch):
    expected, case = "momentum_inverted", "five_steps"

    def weight(self):
        return self.work.type(1 - self.momentum)


class MomentumInvertedKerasHidden(Keras):
    """Shows no statistics: prediction alone gives it away."""

    expected, case = "momentum_inverted", "tiny_momentum"
    stats = None

    def averaged(self, old, new):
        return self.weight() * old + self.work.type(self.momentum) * new


class MomentumInvertedForVariance(Flax):
    expected, case = "momentum_inverted", "rank2"

    def track(self, mean, var, n):
        super().track(mean, var, n)
        old = (self.moving_var - self.weight() * var) / self.work.type(self.momentum)
        self.moving_var = self.weight() * old + self.work.type(self.momentum) * var


class StartsFromItsOwn(Torch):
    """The moving statistics are made as zeros and ones, and those that are given are left where they are."""

    expected, case = "start_ignored", "rank4"

    def __init__(self, setup):
        super().__init__(setup)
        self.moving_mean, self.moving_var = np.zeros_like(self.moving_mean), np.ones_like(self.moving_var)


class StartsFromZeros(D2l):
    expected, case = "start_ignored", "two_values"

    def __init__(self, setup):
        super().__init__(setup)
        self.moving_mean, self.moving_var = np.zeros_like(self.moving_mean), np.zeros_like(self.moving_var)


class MomentumHardCoded(D2l):
    expected, case = "momentum_wrong", "tiny_momentum"

    def weight(self):
        return self.work.type(0.1)


class MomentumKerasDefault(Keras):
    expected, case = "momentum_wrong", "five_steps"

    def weight(self):
        return self.work.type(0.01)


class MomentumHalf(Torch):
    expected, case = "momentum_wrong", "rank4"

    def weight(self):
        return self.work.type(0.5)


class MomentumHalved(Torch):
    """Half of the weight that was given."""

    expected, case = "momentum_wrong", "decimal_momentum"

    def weight(self):
        return self.work.type(self.momentum / 2)


class StatsReplaced(D2l):
    """The last batch is kept, nothing is averaged."""

    expected, case = "momentum_wrong", "rank2"

    def averaged(self, old, new):  # noqa: ARG002
        return new


class CumulativeMean(D2l):
    """The mean over all batches, momentum unused."""

    expected, case = "momentum_wrong", "five_steps"
    batches = 0

    def track(self, mean, var, n):
        self.batches += 1
        super().track(mean, var, n)

    def state(self):
        return super().state() | {"batches": self.batches}

    def load_state(self, state):
        super().load_state(state)
        self.batches = state["batches"]

    def weight(self):
        return self.work.type(1 / self.batches)


class NewValueUnweighted(D2l):
    """moving = momentum * moving + batch."""

    expected, case = "momentum_wrong", "rank2"

    def averaged(self, old, new):
        return self.work.type(self.momentum) * old + new


class BiasedTorch(Torch):
    expected, case = "moving_var_biased", "two_values"

    def track(self, mean, var, n):
        D2l.track(self, mean, var, n)


class UnbiasedD2l(D2l):
    expected, case = "moving_var_unbiased", "two_values"

    def track(self, mean, var, n):
        super().track(mean, var * n / (n - 1), n)


class BesselByBatchSize(Torch):
    """N/(N - 1) with N the batch size, where N * H * W values were averaged."""

    expected, case = "bessel_wrong", "rank4"

    def track(self, mean, var, n):
        D2l.track(self, mean, var * (self.size / (self.size - 1)) if self.size > 1 else var, n)

    def train(self, x, dy):
        self.size = len(x)
        return super().train(x, dy)


class StdTracked(Flax):
    """The standard deviation is averaged, as a moving_std of old."""

    expected, case = "std_averaged", "rank2"

    def track(self, mean, var, n):
        super().track(mean, np.sqrt(var), n)


class UnbiasedFlaxHidden(Flax):
    expected, case = "moving_var_unbiased", "two_values"
    stats = None

    def track(self, mean, var, n):
        super().track(mean, var * (n / max(n - 1, 1)), n)


class Frozen(D2l):
    expected, case = "stats_frozen", "five_steps"

    def track(self, mean, var, n):
        pass


class FrozenLocalVariable(Flax):
    """The new averages are computed and never stored."""

    expected, case = "stats_frozen", "rank2"

    def track(self, mean, var, n):  # noqa: ARG002
        moving_mean, moving_var = self.moving_mean, self.moving_var
        moving_mean = self.averaged(moving_mean, mean)
        moving_var = self.averaged(moving_var, var)


class FrozenAfterFirst(Keras):
    expected, case = "stats_frozen", "five_steps"
    updated = False

    def track(self, mean, var, n):
        if not self.updated:
            super().track(mean, var, n)
        self.updated = True

    def state(self):
        return super().state() | {"updated": self.updated}

    def load_state(self, state):
        super().load_state(state)
        self.updated = state["updated"]


class VarianceFrozen(Torch):
    expected, case = "stats_frozen", "rank3"

    def track(self, mean, var, n):  # noqa: ARG002
        self.moving_mean = self.averaged(self.moving_mean, mean)


class UpdatedInEval(D2l):
    expected, case = "stats_updated_in_eval", "eval_between"

    def eval(self, x, dy):
        result = super().eval(x, dy)
        self.track(*self.statistics(self.wide(x)), self.count(x))
        return result


class UpdatedBeforeEvalHidden(Torch):
    expected, case = "stats_updated_in_eval", "eval_between"
    stats = None

    def statistics_for_prediction(self, x):
        if self.count(x) > 1:
            self.track(*self.statistics(x), self.count(x))
        return super().statistics_for_prediction(x)


class UpdatedForPrediction(D2l):
    """As ONNX's reference did for operators of version 9: what prediction uses has moved, and is not kept."""

    expected, case = "stats_updated_in_eval", "rank3"

    def eval(self, x, dy):
        kept = self.moving_mean, self.moving_var
        self.track(*self.statistics(self.wide(x)), self.count(x))
        result = super().eval(x, dy)
        self.moving_mean, self.moving_var = kept
        return result


class UpdatedTwice(D2l):
    """As checkpointing does: the forward pass runs once more for the backward."""

    expected, case = "stats_updated_twice", "five_steps"

    def backward(self, dy, saved):
        x = saved["x"]
        self.track(*self.statistics(x), self.count(x))
        return super().backward(dy, saved)


class Debiased(D2l):
    expected, case = "debiased", "five_steps"
    steps = 0

    def state(self):
        return super().state() | {"steps": self.steps}

    def load_state(self, state):
        super().load_state(state)
        self.steps = state["steps"]

    def track(self, mean, var, n):
        super().track(mean, var, n)
        self.steps += 1

    def statistics_for_prediction(self, x):  # noqa: ARG002
        share = 1 - self.momentum**self.steps if self.steps else 1
        return self.moving_mean / self.work.type(share), self.moving_var / self.work.type(share)

    def stats(self):
        return dict(zip(("moving_mean", "moving_var"), self.statistics_for_prediction(None), strict=True))


class DebiasedFromZero(Debiased):
    """As Adam's averages: they start from zero."""

    expected, case = "debiased", "five_steps"

    def track(self, mean, var, n):
        if self.steps == 0:
            self.moving_mean, self.moving_var = np.zeros_like(mean), np.zeros_like(var)
        super().track(mean, var, n)


class DebiasMissing(Debiasing):
    expected, case = "not_debiased", "five_steps"

    def share(self):
        return self.work.type(1)


class DebiasCountsAhead(Debiasing):
    expected, case = "not_debiased", "five_steps"

    def share(self):
        return self.work.type(1 - self.momentum ** (self.steps + 1)) if self.steps else self.work.type(1)


class DebiasByZero(Debiasing):
    """Divides by 1 - momentum^0 as well."""

    expected, case = "non_finite_output", "rank2"

    def share(self):
        return self.work.type(1 - self.momentum**self.steps)
