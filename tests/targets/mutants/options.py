"""Wrong under an option: a mask, a frozen layer, no moving statistics, a cumulative average."""

import numpy as np

from tests.targets.mutants.right import D2l, Torch


class WithOptions:
    """Over one of the styles: a right layer with every option, with one method for each step that can go wrong."""

    options = ("no_gamma", "no_beta", "no_statistics", "cumulative")
    masked = True

    def __init__(self, setup):
        ones, zeros = np.ones(setup.num_features), np.zeros(setup.num_features)
        starts = {"gamma": ones, "beta": zeros, "moving_mean": zeros, "moving_var": ones}
        self.absent = [name for name in starts if getattr(setup, name) is None]
        super().__init__(Filled(setup, starts))
        self.cumulative, self.batches = setup.cumulative, 0
        self.freezes = False

    # --- built without ---

    def results(self, given, *arrays):
        values = super().results(given, *arrays)
        return {name: value for name, value in values.items() if name.removeprefix("d") not in self.absent}

    @property
    def keeps_statistics(self):
        return "moving_mean" not in self.absent

    def stats(self):
        return super().stats() if self.keeps_statistics else {}

    # --- steps ---

    def train(self, x, dy, mask=None):
        self.freezes = False
        return self.trained(x, dy) if mask is None else self.masked_train(x, dy, mask)

    def trained(self, x, dy):
        return super().train(x, dy)

    def eval(self, x, dy, mask=None):
        if self.keeps_statistics:
            return super().eval(x, dy)
        return self.without_statistics(x, dy) if mask is None else self.masked_train(x, dy, mask)

    def without_statistics(self, x, dy):
        return self.trained(x, dy)

    def frozen(self, x, dy):
        self.freezes = True
        return self.frozen_step(x, dy)

    def frozen_step(self, x, dy):
        return super().eval(x, dy)

    # --- cumulative average ---

    def track(self, mean, var, n):
        self.batches += 1
        super().track(mean, var, n)

    def weight(self):
        return self.work.type(self.share_of(self.batches)) if self.cumulative else super().weight()

    def share_of(self, t):
        return 1 / t

    def state(self):
        return super().state() | {"batches": self.batches}

    def load_state(self, state):
        super().load_state({name: value for name, value in state.items() if name != "batches"})
        self.batches = state["batches"]

    # --- masks ---

    def masked_train(self, given, dy, mask):
        x, dy = self.wide(given), self.wide(dy)
        counts = np.expand_dims(np.broadcast_to(mask, self.without_channels(x.shape)), self.axis)
        n = int(counts.sum())
        if n == 0:
            return self.eval(given, dy.astype(given.dtype))
        mean = self.masked_mean(x, counts, n)
        var = self.masked_var(x, mean, counts, n)
        y, saved = self.forward(x, mean, var)
        dgamma, dbeta = self.parameter_gradients(dy, saved)
        dx = self.masked_gradient(dy, saved, counts, n, (dgamma, dbeta))
        self.masked_track(mean, var, n, self.count(x))
        return self.results(given, y, dx, dgamma, dbeta)

    def without_channels(self, shape):
        sizes = list(shape)
        sizes.pop(self.axis)
        return sizes

    def masked_mean(self, x, counts, n):
        return np.where(counts, x, 0).sum(axis=self.axes(x)) / self.work.type(n)

    def masked_var(self, x, mean, counts, n):
        return np.where(counts, np.square(x - self.along(mean, x)), 0).sum(axis=self.axes(x)) / self.work.type(n)

    def masked_gradient(self, dy, saved, counts, n, sums):
        dgamma, dbeta = (self.along(total / self.work.type(n), dy) for total in sums)
        through = np.where(self.reached(counts), dbeta + saved["x_hat"] * dgamma, 0)
        return self.along(self.gamma * saved["scale"], dy) * (dy - through)

    def reached(self, counts):
        return counts

    def masked_track(self, mean, var, n, size):  # noqa: ARG002
        if n > 1 or not isinstance(self, Torch):
            self.track(mean, var, n)


class Filled:
    """A setup whose absent arrays are those of a new layer."""

    def __init__(self, setup, starts):
        vars(self).update(vars(setup))
        work = np.dtype("float64" if setup.dtype == "float64" else "float32")
        vars(self).update({name: a.astype(work) for name, a in starts.items() if getattr(setup, name) is None})


class RightD2l(WithOptions, D2l):
    """Honest: what the mutants below derive from."""


class RightTorch(WithOptions, Torch):
    """Honest: what the mutants below derive from."""


# --- masks ---


class MaskIgnored(RightD2l):
    expected, case = "mask_ignored", "mask"

    def masked_train(self, x, dy, mask):  # noqa: ARG002
        return self.trained(x, dy)


class MaskIgnoredAsTorch(RightTorch):
    expected, case = "mask_ignored", "mask_rank2"

    def masked_train(self, x, dy, mask):  # noqa: ARG002
        return self.trained(x, dy)


class MaskInMeanOnly(RightD2l):
    expected, case = "mask_in_mean_only", "mask"

    def masked_var(self, x, mean, counts, n):  # noqa: ARG002
        return np.square(x - self.along(mean, x)).mean(axis=self.axes(x))


class MaskInVarianceOnly(RightTorch):
    expected, case = "mask_in_mean_only", "mask_rank2"

    def masked_mean(self, x, counts, n):  # noqa: ARG002
        return x.mean(axis=self.axes(x))


class MaskedSumsOverAll(RightD2l):
    """Sums of what counts are divided by the number of all elements."""

    expected, case = "mask_miscounted", "mask"

    def masked_mean(self, x, counts, n):  # noqa: ARG002
        return super().masked_mean(x, counts, self.count(x))

    def masked_var(self, x, mean, counts, n):  # noqa: ARG002
        return super().masked_var(x, mean, counts, self.count(x))


class MaskedBesselOverAll(RightTorch):
    """Bessel's factor takes the number of all elements."""

    expected, case = "mask_miscounted", "mask_rank2"

    def masked_track(self, mean, var, n, size):  # noqa: ARG002
        self.track(mean, var, size)


class MaskedGradientOverAll(RightD2l):
    """The two means in dx are over all elements."""

    expected, case = "mask_miscounted", "mask"

    def masked_gradient(self, dy, saved, counts, n, sums):  # noqa: ARG002
        return super().masked_gradient(dy, saved, counts, self.count(dy), sums)


class MaskLeaks(RightD2l):
    """dx is the closed form everywhere: it is not 0 where an element does not count."""

    expected, case = "mask_leaks", "mask"

    def reached(self, counts):
        return np.ones_like(counts)


# --- frozen layers ---


class FrozenTrains(RightTorch):
    """Nothing is frozen."""

    expected, case = "frozen_ignored", "frozen"

    def frozen_step(self, x, dy):
        return self.trained(x, dy)


class FrozenUntilEval(RightD2l):
    """The model's prediction ends in `train()`, which switches this layer back with the rest."""

    expected, case = "frozen_ignored", "frozen_stays"

    def __init__(self, setup):
        super().__init__(setup)
        self.thawed = False

    def train(self, x, dy, mask=None):
        self.thawed = False
        return super().train(x, dy, mask)

    def eval(self, x, dy, mask=None):
        self.thawed = self.freezes
        return super().eval(x, dy, mask)

    def frozen_step(self, x, dy):
        return self.trained(x, dy) if self.thawed else super().frozen_step(x, dy)


class FrozenMoves(RightD2l):
    """y and dx are right, and the moving statistics move."""

    expected, case = "frozen_moves_statistics", "frozen"

    def frozen_step(self, x, dy):
        values = super().frozen_step(x, dy)
        self.track(*self.statistics(self.wide(x)), self.count(x))
        return values


class FrozenByBatch(RightTorch):
    """The batch's statistics normalize, and are not kept."""

    expected, case = "frozen_by_batch", "frozen"

    def frozen_step(self, x, dy):
        kept = self.moving_mean, self.moving_var
        values = self.trained(x, dy)
        self.moving_mean, self.moving_var = kept
        return values


class FrozenDxAsTraining(RightD2l):
    expected, case = "frozen_dx_as_training", "frozen"

    def frozen_step(self, x, dy):
        wide, wide_dy = self.wide(x), self.wide(dy)
        y, saved = self.forward(wide, self.moving_mean, self.moving_var)
        return self.results(x, y, *self.backward(wide_dy, saved))


# --- without statistics, cumulative average ---


class NoStatisticsConstants(RightD2l):
    """Without moving statistics prediction's gradient takes the batch's for constants."""

    expected, case = "no_statistics_wrong", "no_statistics"

    def without_statistics(self, x, dy):
        wide, wide_dy = self.wide(x), self.wide(dy)
        y, saved = self.forward(wide, *self.statistics(wide))
        return self.results(x, y, *self.backward_of_prediction(wide_dy, saved))


class NoStatisticsKeepsThem(RightTorch):
    """Built without moving statistics, it keeps and uses them all the same."""

    expected, case = "no_statistics_wrong", "no_statistics"

    def without_statistics(self, x, dy):
        return D2l.eval(self, x, dy)


class CumulativeFromStart(RightTorch):
    """What the average starts from counts as a batch."""

    expected, case = "cumulative_wrong", "cumulative_average"

    def share_of(self, t):
        return 1 / (t + 1)


class CumulativeIgnored(RightD2l):
    """The exponential average of the default momentum."""

    expected, case = "cumulative_wrong", "cumulative_average"

    def share_of(self, t):  # noqa: ARG002
        return 0.1


class CumulativeCountLost(RightTorch):
    """The count of batches is not part of the saved state."""

    expected, case = "state_not_saved", "cumulative_restored"

    def load_state(self, state):
        super().load_state(state | {"batches": 0})
