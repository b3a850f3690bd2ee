"""Prediction by what is out of date; and restored layers that are not the saved ones."""

import numpy as np

from tests.targets.mutants.right import D2l, Flax, Keras, KnowsPrediction, Torch


class StaleStatistics(D2l):
    """Prediction reads the buffers of before the last update (double buffering the wrong way round)."""

    expected, case = "stale_statistics", "five_steps"

    def __init__(self, setup):
        super().__init__(setup)
        self.read = self.moving_mean, self.moving_var

    def track(self, mean, var, n):
        self.read = self.moving_mean, self.moving_var
        super().track(mean, var, n)

    def statistics_for_prediction(self, x):  # noqa: ARG002
        return self.read

    def load_state(self, state):
        super().load_state(state)
        self.read = self.moving_mean, self.moving_var


class UpdatesOneLate(Torch):
    """An update waits for the next step; saving writes what has been applied."""

    expected, case = "stale_statistics", "five_steps"
    waiting = None

    def track(self, mean, var, n):
        if self.waiting is not None:
            super().track(*self.waiting)
        self.waiting = mean, var, n

    def load_state(self, state):
        super().load_state(state)
        self.waiting = None


class FoldedOnce(Keras):
    """Scale and shift are made at the first prediction, and kept."""

    expected, case = "stale_fold", "eval_between"
    folded = None

    def statistics_for_prediction(self, x):
        self.folded = self.folded or super().statistics_for_prediction(x)
        return self.folded


class FoldedWhenBuilt(D2l):
    """The fused kernel's scale and shift are made with the layer; its gradient reads the real statistics."""

    expected, case = "stale_fold", "rank4"

    def __init__(self, setup):
        super().__init__(setup)
        self.fold()

    def fold(self):
        self.scale = self.gamma * self.inverse_std(self.moving_var)
        self.shift = self.beta - self.moving_mean * self.scale

    def eval(self, x, dy):
        y = self.wide(x) * self.along(self.scale, x) + self.along(self.shift, x)
        return super().eval(x, dy) | {"y": y.astype(x.dtype)}

    def load_state(self, state):
        super().load_state(state)
        self.fold()


class CachedInverseStd(KnowsPrediction, Flax):
    """The inverse standard deviation of prediction is computed once."""

    expected, case = "stale_fold", "eval_between"
    kept = None

    def inverse_std(self, var):
        if not self.predicting:
            return super().inverse_std(var)
        self.kept = super().inverse_std(var) if self.kept is None else self.kept
        return self.kept


class MeanAndVarExchanged(Torch):
    """A list of arrays is loaded in another order than it was saved in."""

    expected, case = "restore_changes_layer", "save_and_restore"

    def state(self):
        return [self.gamma, self.beta, self.moving_var, self.moving_mean]

    def load_state(self, state):
        self.gamma, self.beta, self.moving_mean, self.moving_var = state


class AlphabeticalOrder(Keras):
    """beta comes before gamma in the file, and after it in the layer."""

    expected, case = "restore_changes_layer", "save_and_restore"

    def load_state(self, state):
        self.gamma, self.beta, self.moving_mean, self.moving_var = (state[name] for name in sorted(state))


class EpsSubtracted(D2l):
    """Another framework's file is thought to hold var + eps."""

    expected, case = "restore_changes_layer", "restore_small_variance"

    def load_state(self, state):
        super().load_state(state | {"var": state["var"] - self.work.type(self.eps)})


class StdSaved(Flax):
    """The standard deviation is saved, and loaded as the variance."""

    expected, case = "restore_changes_layer", "save_and_restore"

    def state(self):
        return super().state() | {"var": np.sqrt(self.moving_var)}


class SavedInHalf(D2l):
    """The checkpoint is written in float16."""

    expected, case = "restore_changes_layer", "save_and_restore"

    def state(self):
        return {name: value.astype(np.float16) for name, value in super().state().items()}

    def load_state(self, state):
        super().load_state({name: value.astype(self.gamma.dtype) for name, value in state.items()})
