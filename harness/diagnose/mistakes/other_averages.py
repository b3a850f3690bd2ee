"""Mistakes of a layer that keeps no moving statistics, or keeps their plain average."""

from __future__ import annotations

import numpy as np

from harness.judge.oracle import OracleLayer
from reference.batch_norm import from_rows, to_rows


class WithoutStatisticsMistake(OracleLayer):
    """It shows in a layer that is built without moving statistics, in prediction."""

    alone = True

    def ordinary_step(self, step, x, dy):
        if step.trains or self.keeps_statistics:
            return super().ordinary_step(step, x, dy)
        return self.predicted(x, dy)

    def predicted(self, x, dy):
        return self.train_step(x, dy)


class PredictsByStart(WithoutStatisticsMistake):
    """Prediction normalizes by a mean of 0 and a variance of 1."""

    def predicted(self, x, dy):
        self.average_mean, self.average_var = np.zeros_like(self.beta), np.ones_like(self.gamma)
        self.updates = 0
        return self.eval_step(x, dy)


class PredictsByMoving(WithoutStatisticsMistake):
    """Prediction normalizes by moving statistics, which it should not have, from a mean of 0 and a variance of 1 on."""

    def predicted(self, x, dy):
        return self.eval_step(x, dy)


class PredictsByConstants(WithoutStatisticsMistake):
    """Prediction normalizes by the batch's own statistics, and its gradient takes them for constants."""

    def predicted(self, x, dy):
        y, cache = self.train(x)
        dx, dgamma, dbeta = self.eval_backward(dy, cache)
        return {"y": y, "dx": dx, "dgamma": dgamma, "dbeta": dbeta}


class GradientByMoving(WithoutStatisticsMistake):
    """Prediction normalizes by the batch's own statistics; its gradients are those by moving ones, which it keeps."""

    def predicted(self, x, dy):
        rows = to_rows(x, 1)
        y, _ = self.normalize(rows, *self.batch_statistics(rows))
        return self.eval_step(x, dy) | {"y": from_rows(y, x.shape, 1)}


class CumulativeMistake(OracleLayer):
    """Under a cumulative average the weight of the t-th batch is another than 1/t."""

    alone = True

    def weights(self):
        if not self.cumulative:
            return super().weights()
        one = self.average_mean.dtype.type(1)
        new = one * self.new_weight(one.dtype.type(self.updates + 1))
        return one - new, new

    def new_weight(self, t):
        return 1 / t


class CumulativeCountsStart(CumulativeMistake):
    """1/(t + 1): what the average starts from counts as a batch."""

    def new_weight(self, t):
        return 1 / (t + 1)


class CumulativeInverted(CumulativeMistake):
    """1/t weighs the old value."""

    def new_weight(self, t):
        return 1 - 1 / t


class CumulativeByDefault(CumulativeMistake):
    """An exponential average of momentum 0.1, the default of many layers."""

    def new_weight(self, t):
        return 0 * t + 0.1


class CumulativeOfLast(CumulativeMistake):
    """The last batch replaces the average: the count does not go on."""

    def new_weight(self, t):
        return 0 * t + 1


NO_STATISTICS = (PredictsByStart, PredictsByMoving, PredictsByConstants, GradientByMoving)
CUMULATIVE = (CumulativeCountsStart, CumulativeInverted, CumulativeByDefault, CumulativeOfLast)
