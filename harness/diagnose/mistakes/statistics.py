"""Mistakes in the moving statistics."""

from __future__ import annotations

import numpy as np

from harness.diagnose.mistakes.at_start import AtStart
from harness.judge.oracle import OracleLayer
from reference.batch_norm import to_rows


class MomentumInverted(OracleLayer):
    def weights(self):
        keep, new = super().weights()
        return new, keep


class OtherUpdate(OracleLayer):
    """Another update for one of the two averages, named by `wrong`; the other is updated as it should be."""

    wrong = "var"
    uses_bessel = True
    """Whether the batch's variance comes with Bessel's factor, where that is declared."""

    def mistaken(self, old, batch):  # noqa: ARG002
        return batch

    def update(self, mean, var, n):
        old = self.average_mean, self.average_var
        super().update(mean, var, n)
        if self.wrong == "mean":
            self.average_mean = self.mistaken(old[0], mean)
        else:
            declared = self.conventions.moving_var == "unbiased" and n > 1
            bessel = n / (n - 1) if self.uses_bessel and declared else 1
            self.average_var = self.mistaken(old[1], var * bessel)


class VarMomentumInverted(OtherUpdate):
    def mistaken(self, old, batch):
        keep, new = self.weights()
        return new * old + keep * batch


class MeanMomentumInverted(VarMomentumInverted):
    wrong = "mean"


class VarFrozen(OtherUpdate):
    def mistaken(self, old, batch):  # noqa: ARG002
        return old


class MeanFrozen(VarFrozen):
    wrong = "mean"


class NewNotWeighted(OracleLayer):
    """keep * old + new value, whole."""

    def weights(self):
        keep, new = super().weights()
        return keep, new / new if new else keep / keep


class OldNotWeighted(OracleLayer):
    """old value, whole, + new weight * batch."""

    def weights(self):
        keep, new = super().weights()
        return (keep / keep if keep else new / new), new


class CumulativeAverage(OracleLayer):
    """The plain mean of all batches so far, whatever the momentum: the t-th weighs 1/t."""

    first = 1

    def weights(self):
        new = self.average_mean.dtype.type(1) / (self.updates + self.first)
        return 1 - new, new


class CumulativeAverageOfStart(CumulativeAverage):
    """As above, the starting values counted as one batch."""

    first = 2


class FirstBatchReplaces(OracleLayer):
    """The first batch takes the place of the starting values."""

    def weights(self):
        keep, new = super().weights()
        return (keep, new) if self.updates else (keep - keep, keep + new)


class StartsFromZero(OracleLayer):
    """The first update starts from zero, whatever the starting values were."""

    def update(self, mean, var, n):
        if self.updates == 0:
            self.average_mean, self.average_var = np.zeros_like(mean), np.zeros_like(var)
        super().update(mean, var, n)


class StartIgnored(AtStart):
    """The moving statistics start from 0 and 1, whatever was given."""

    start_var = 1.0

    def start(self):
        self.average_mean = np.zeros_like(self.average_mean)
        self.average_var = np.zeros_like(self.average_var) + self.average_var.dtype.type(self.start_var)


class StartIgnoredForZero(StartIgnored):
    """Both start from 0."""

    start_var = 0.0


class StdAveraged(OracleLayer):
    """The standard deviation is averaged where the variance is meant."""

    def update(self, mean, var, n):
        super().update(mean, np.sqrt(var), n)


class StdKept(OtherUpdate):
    """The layer keeps the average standard deviation, and predicts by it; the variance that is shown is its square."""

    def mistaken(self, old, batch):
        keep, new = self.weights()
        return (keep * np.sqrt(old) + new * np.sqrt(batch)) ** 2


class StdKeptWithoutBessel(StdKept):
    uses_bessel = False


class StatsFrozen(OracleLayer):
    def update(self, mean, var, n):
        pass


class FrozenAfterFirst(OracleLayer):
    """Only the first update counts."""

    def update(self, mean, var, n):
        if self.updates == 0:
            super().update(mean, var, n)


class StatsUpdatedTwice(OracleLayer):
    def update(self, mean, var, n):
        super().update(mean, var, n)
        super().update(mean, var, n)


class StatsUpdatedTwiceByBackward(OracleLayer):
    """The backward calls the layer again, as activation checkpointing does; without a backward they move once."""

    has_backward = False

    def train_step(self, x, dy):
        self.has_backward = True
        try:
            return super().train_step(x, dy)
        finally:
            self.has_backward = False

    def update(self, mean, var, n):
        super().update(mean, var, n)
        if self.has_backward:
            super().update(mean, var, n)


class CountedTwice(OracleLayer):
    """The averages move once, and the counter that debiasing divides by moves twice."""

    def update(self, mean, var, n):
        super().update(mean, var, n)
        self.updates += 1


class StatsUpdatedInEval(OracleLayer):
    """Prediction moves the statistics after it has used them."""

    def eval(self, x):
        y, cache = super().eval(x)
        rows = to_rows(x, 1)
        self.update(*self.batch_statistics(rows), len(rows))
        return y, cache


class StatsUpdatedBeforeEval(OracleLayer):
    """Prediction moves the statistics first, then uses them."""

    def eval(self, x):
        rows = to_rows(x, 1)
        self.update(*self.batch_statistics(rows), len(rows))
        return super().eval(x)


class StatsUpdatedForEval(OracleLayer):
    """Prediction uses statistics that have moved towards its batch, and does not keep them."""

    keep: float | None = None
    """The weight of the old value; None: by the layer's momentum."""

    def eval(self, x):
        kept = self.average_mean, self.average_var, self.updates
        rows = to_rows(x, 1)
        self.update(*self.batch_statistics(rows), len(rows))
        try:
            return super().eval(x)
        finally:
            self.average_mean, self.average_var, self.updates = kept

    def weights(self):
        if self.keep is None or self.playing == "train":
            return super().weights()
        number = self.average_mean.dtype.type
        return number(self.keep), 1 - number(self.keep)


class StatsUpdatedForEvalByDefault(StatsUpdatedForEval):
    """The same by ONNX's default momentum, which a graph for prediction has no reason to set."""

    keep = float(np.float32(0.9))
