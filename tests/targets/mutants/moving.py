"""Wrong in the moving statistics, in the mode, in what is saved."""

import numpy as np

from tests.targets.mutants.right import D2l, Debiasing, Flax, Keras, Torch, WithGradientSwitch


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
    seen = False

    def track(self, mean, var, n):
        if not self.seen:
            super().track(mean, var, n)
        self.seen = True

    def state(self):
        return super().state() | {"seen": self.seen}

    def load_state(self, state):
        super().load_state(state)
        self.seen = state["seen"]


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


class EvalByBatch(D2l):
    expected, case = "eval_uses_batch_stats", "eval_between"

    def statistics_for_prediction(self, x):
        return self.statistics(x)


class EvalByBatchThroughout(Flax):
    """No statistics are tracked as far as prediction goes, the gradient included."""

    expected, case = "eval_uses_batch_stats", "rank2"

    def statistics_for_prediction(self, x):
        return self.statistics(x)

    def backward_of_prediction(self, dy, saved):
        return self.backward(dy, saved)


class AlwaysTraining(D2l):
    """eval() was forgotten: prediction is a training step."""

    expected, case = ("eval_uses_batch_stats", "stats_updated_in_eval"), "eval_between"

    def eval(self, x, dy):
        return self.train(x, dy)


class NeverTraining(D2l):
    """Exported in prediction mode: training is prediction."""

    expected, case = ("train_uses_moving_stats", "stats_frozen"), "rank2"

    def train(self, x, dy):
        return self.eval(x, dy)


class TrainByMoving(D2l):
    expected, case = "train_uses_moving_stats", "rank2"

    def train(self, x, dy):
        result = self.eval(x, dy)
        self.track(*self.statistics(self.wide(x)), self.count(x))
        return result


class TrainByUpdated(Torch):
    """The buffers are updated first, and aliased with the batch's statistics."""

    expected, case = "train_uses_moving_stats", "rank4"

    def forward(self, x, mean, var):
        if mean is not self.moving_mean:
            self.track(mean, var, self.count(x))
            mean, var = self.moving_mean, self.moving_var
            self.tracked = True
        return super().forward(x, mean, var)

    def train(self, x, dy):
        self.tracked = False
        return super().train(x, dy)

    def track(self, mean, var, n):
        if not getattr(self, "tracked", False):
            super().track(mean, var, n)


class StateWithoutStatistics(D2l):
    """The moving statistics are plain attributes, which saving the parameters loses."""

    expected, case = "state_not_saved", "save_and_restore"

    def state(self):
        return {"gamma": self.gamma, "beta": self.beta}

    def load_state(self, state):
        self.gamma, self.beta = state["gamma"], state["beta"]


class StateWithoutCounter(Debiasing):
    expected, case = "state_not_saved", "save_and_restore"

    def load_state(self, state):
        D2l.load_state(self, state)


class StateIncomplete(Flax):
    """What is saved lacks a key that loading asks for."""

    expected, case = "state_not_saved", "save_and_restore"

    def state(self):
        return {"gamma": self.gamma, "beta": self.beta, "mean": self.moving_mean}


class StateIgnored(Torch):
    expected, case = "state_not_saved", "save_and_restore"

    def load_state(self, state):
        pass


class SharedBuffers(D2l):
    """The moving statistics are attributes of the class."""

    expected, case = "state_shared", "two_layers"
    buffers = {}  # noqa: RUF012

    @property
    def moving_mean(self):
        return self.buffers["mean"]

    @moving_mean.setter
    def moving_mean(self, value):
        self.buffers["mean"] = value

    @property
    def moving_var(self):
        return self.buffers["var"]

    @moving_var.setter
    def moving_var(self, value):
        self.buffers["var"] = value


class ModeByGradient(WithGradientSwitch):
    """Whether gradients are enabled decides on the mode, as in the tutorial's layer."""

    expected, case = "mode_follows_grad", "gradients_off"

    def eval(self, x, dy):
        return self.train(x, dy)

    def train_no_grad(self, x):
        return {"y": super().eval(x, np.zeros_like(x))["y"]}


class NoGradMeansPrediction(WithGradientSwitch):
    expected, case = "mode_follows_grad", "gradients_off"

    def train_no_grad(self, x):
        return {"y": self.eval(x, np.zeros_like(x))["y"]}
