"""Wrong in the mode, or in what is saved or shared."""

import numpy as np

from tests.targets.mutants.right import D2l, Debiasing, Flax, Torch, WithGradientSwitch


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
