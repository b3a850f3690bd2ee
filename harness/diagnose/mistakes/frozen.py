"""Mistakes of a frozen layer, whose statistics are used and do not move while the model around it trains."""

from __future__ import annotations

from harness.cases.script import FROZEN
from harness.judge.oracle import OracleLayer
from reference.batch_norm import to_rows


class FrozenMistake(OracleLayer):
    """It shows in frozen steps alone, and is tried beside no other."""

    alone = True


class FrozenIgnored(FrozenMistake):
    """A frozen step is a training step."""

    def frozen_step(self, x, dy):
        return self.train_step(x, dy)


class FrozenLost(FrozenMistake):
    """The model's next prediction and training step find the layer in training again."""

    is_frozen = lost = False

    def ordinary_step(self, step, x, dy):
        if step.op == FROZEN:
            self.is_frozen = True
        elif step.trains:
            self.is_frozen = self.lost = False
        else:
            self.lost = self.is_frozen
        return super().ordinary_step(step, x, dy)

    def frozen_step(self, x, dy):
        return self.train_step(x, dy) if self.lost else self.eval_step(x, dy)


class FrozenMovesStatistics(FrozenMistake):
    """y and dx are prediction's, and the moving statistics move."""

    def frozen_step(self, x, dy):
        values = self.eval_step(x, dy)
        rows = to_rows(x, 1)
        self.update(*self.batch_statistics(rows), len(rows))
        return values


class FrozenMovesStatisticsFirst(FrozenMovesStatistics):
    """The moving statistics move, and are used after that."""

    def frozen_step(self, x, dy):
        rows = to_rows(x, 1)
        self.update(*self.batch_statistics(rows), len(rows))
        return self.eval_step(x, dy)


class FrozenByBatch(FrozenMistake):
    """The batch's own statistics are used, and move nothing; the gradient is that of training."""

    def frozen_step(self, x, dy):
        before = self.average_mean, self.average_var, self.updates
        values = self.train_step(x, dy)
        self.average_mean, self.average_var, self.updates = before
        return values


class FrozenByBatchAsConstants(FrozenMistake):
    """The batch's own statistics are used, and the gradient takes them for constants."""

    def frozen_step(self, x, dy):
        rows = to_rows(x, 1)
        own = self.average_mean, self.average_var, self.updates
        self.average_mean, self.average_var = self.batch_statistics(rows)
        self.updates = 0  # nothing to divide by
        try:
            return self.eval_step(x, dy)
        finally:
            self.average_mean, self.average_var, self.updates = own


class FrozenDxAsTraining(FrozenMistake):
    """y is prediction's; its gradient is the training formula."""

    def frozen_step(self, x, dy):
        y, cache = self.eval(x)
        dx, dgamma, dbeta = self.train_backward(dy, cache)
        return {"y": y, "dx": dx, "dgamma": dgamma, "dbeta": dbeta}


IGNORED = (FrozenIgnored, FrozenLost)
MOVES = (FrozenMovesStatistics, FrozenMovesStatisticsFirst)
BY_BATCH = (FrozenByBatch, FrozenByBatchAsConstants)
DX_AS_TRAINING = (FrozenDxAsTraining,)
