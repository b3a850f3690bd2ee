"""Mistakes in which statistics are used in which mode, and in what is saved."""

from __future__ import annotations

import numpy as np

from harness.oracle import OracleLayer
from reference.batch_norm import from_rows, to_rows




class EvalUsesBatchStats(OracleLayer):
    """Prediction normalizes by the batch; its gradient treats the statistics as constants."""

    def eval(self, x):
        rows = to_rows(x, 1)
        y, cache = self.normalize(rows, *self.batch_statistics(rows))
        return from_rows(y, x.shape, 1), cache


class EvalIsTrainingWithoutUpdate(EvalUsesBatchStats):
    """As above, with the training gradient."""

    def eval_backward(self, dy, cache):
        return OracleLayer.train_backward(self, dy, cache)


class TrainUsesMovingStats(OracleLayer):
    """Training normalizes by the moving statistics as they were before this batch."""

    use_updated = False

    def train(self, x):
        rows = to_rows(x, 1)
        before = self.moving_mean, self.moving_var
        self.update(*self.batch_statistics(rows), len(rows))
        after = self.moving_mean, self.moving_var
        y, cache = self.normalize(rows, *(after if self.use_updated else before))
        return from_rows(y, x.shape, 1), cache

    def train_backward(self, dy, cache):
        return OracleLayer.eval_backward(self, dy, cache)


class TrainUsesUpdatedStats(TrainUsesMovingStats):
    """Training normalizes by the moving statistics after this batch has moved them."""

    use_updated = True


class _TrainingGradient(OracleLayer):
    def train_backward(self, dy, cache):
        return OracleLayer.train_backward(self, dy, cache)


class TrainUsesMovingStatsTrainingGradient(_TrainingGradient, TrainUsesMovingStats):
    """As the first, with the training gradient."""


class TrainUsesUpdatedStatsTrainingGradient(_TrainingGradient, TrainUsesUpdatedStats):
    """As the second, with the training gradient."""


class ModeFollowsGrad(OracleLayer):
    """With gradients on, prediction is training; with gradients off, training is prediction."""

    def eval_step(self, x, dy):
        return self.train_step(x, dy)

    def train_no_grad_step(self, x):
        y, _ = self.eval(x)
        return {"y": y}


class NoGradIsEval(OracleLayer):
    """Training with gradients off is prediction; the rest is right."""

    def train_no_grad_step(self, x):
        y, _ = self.eval(x)
        return {"y": y}


class StateNotSaved(OracleLayer):
    """A restored layer starts from mean 0 and variance 1: only gamma and beta were saved."""

    def restore(self):
        self.average_mean = np.zeros_like(self.average_mean)
        self.average_var = np.ones_like(self.average_var)
        self.updates = 0
        super().restore()


class VarNotSaved(OracleLayer):
    def restore(self):
        self.average_var = np.ones_like(self.average_var)
        super().restore()


class MeanNotSaved(OracleLayer):
    def restore(self):
        self.average_mean = np.zeros_like(self.average_mean)
        super().restore()


class CounterNotSaved(OracleLayer):
    """The averages are saved, the number of updates that debiasing divides by is not."""

    def restore(self):
        self.updates = 0
        super().restore()


class ParametersNotSaved(OracleLayer):
    def restore(self):
        self.gamma, self.beta = np.ones_like(self.gamma), np.zeros_like(self.beta)
        super().restore()


class NothingSaved(ParametersNotSaved, StateNotSaved):
    pass
