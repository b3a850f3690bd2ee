"""Mistakes in which statistics are used in which mode."""

from __future__ import annotations

from harness.judge.oracle import OracleLayer
from reference.batch_norm import from_rows, to_rows


class EvalUsesBatchStats(OracleLayer):
    """Prediction normalizes by the batch; its gradient treats the statistics as constants."""

    def eval(self, x):
        rows = to_rows(x, 1)
        y, cache = self.normalize(rows, *self.used(*self.batch_statistics(rows)))
        return from_rows(y, x.shape, 1), cache

    def used(self, mean, var):
        return mean, var


class EvalUsesBatchMean(EvalUsesBatchStats):
    def used(self, mean, var):  # noqa: ARG002
        return mean, self.moving_var


class EvalUsesBatchVar(EvalUsesBatchStats):
    def used(self, mean, var):  # noqa: ARG002
        return self.moving_mean, var


class EvalIsTrainingWithoutUpdate(EvalUsesBatchStats):
    """As the first, with the training gradient."""

    def eval_backward(self, dy, cache):
        return OracleLayer.train_backward(self, dy, cache)


class EvalIsTraining(OracleLayer):
    """Prediction is a training step: batch statistics, training gradient, and the moving statistics move."""

    def eval_step(self, x, dy):
        return self.train_step(x, dy)


class EvalIsTrainingForward(OracleLayer):
    """As above; prediction's gradient is right for the statistics that it used."""

    def eval(self, x):
        return self.train(x)


class TrainUsesMovingStats(OracleLayer):
    """Training normalizes by the moving statistics as they were before this batch."""

    use_updated = False

    def train(self, x):
        rows = to_rows(x, 1)
        before = self.moving_mean, self.moving_var
        self.update(*self.batch_statistics(rows), len(rows))
        after = self.moving_mean, self.moving_var
        y, cache = self.normalize(rows, *self.chosen(*(after if self.use_updated else before), rows))
        return from_rows(y, x.shape, 1), cache

    def chosen(self, mean, var, rows):  # noqa: ARG002
        return mean, var

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


class TrainUsesMovingVar(TrainUsesMovingStatsTrainingGradient):
    """The batch's mean with the moving variance."""

    def chosen(self, mean, var, rows):  # noqa: ARG002
        return self.batch_statistics(rows)[0], var


class TrainUsesUpdatedVar(TrainUsesMovingVar):
    use_updated = True


class TrainUsesMovingMean(TrainUsesMovingStatsTrainingGradient):
    """The moving mean with the batch's variance."""

    def chosen(self, mean, var, rows):  # noqa: ARG002
        return mean, self.batch_statistics(rows)[1]


class TrainUsesUpdatedMean(TrainUsesMovingMean):
    use_updated = True


class TrainGradientUsesMovingStats(OracleLayer):
    """y is right; the gradients are computed with the moving statistics as they are after the step."""

    by_updated = True

    def train_step(self, x, dy):
        before = self.moving_mean, self.moving_var
        values = super().train_step(x, dy)
        used = (self.moving_mean, self.moving_var) if self.by_updated else before
        _, cache = self.normalize(to_rows(x, 1), *used)
        dx, dgamma, dbeta = self.train_backward(dy, cache)
        return values | {"dx": dx, "dgamma": dgamma, "dbeta": dbeta}


class TrainGradientUsesOldMovingStats(TrainGradientUsesMovingStats):
    by_updated = False


class TrainDxUsesMovingVar(OracleLayer):
    """y and dgamma are right; dx is scaled by the moving variance as it is after the step."""

    alone = True
    by_updated = True

    def train_step(self, x, dy):
        before = self.moving_var
        y, cache = self.train(x)
        scale = self.inverse_std(self.moving_var if self.by_updated else before)  # (C,)
        dx, dgamma, dbeta = self.train_backward(dy, self.rescaled(cache, scale))
        return {"y": y, "dx": dx, "dgamma": dgamma, "dbeta": dbeta}

    def rescaled(self, cache, scale):
        return cache | {"scale": scale}


class TrainDxUsesOldMovingVar(TrainDxUsesMovingVar):
    by_updated = False


class TrainGradientUsesMovingVar(TrainDxUsesMovingVar):
    """The normalized x is made anew by that variance, and the batch's mean: dgamma is wrong as well."""

    def rescaled(self, cache, scale):
        return cache | {"scale": scale, "x_hat": cache["x_hat"] * (scale / cache["scale"])}


class TrainGradientUsesOldMovingVar(TrainGradientUsesMovingVar):
    by_updated = False


class TrainIsPrediction(OracleLayer):
    """Training is prediction: moving statistics, which stay as they are, and prediction's gradient."""

    def train_step(self, x, dy):
        return OracleLayer.eval_step(self, x, dy)

    def train_no_grad_step(self, x):
        return {"y": OracleLayer.eval(self, x)[0]}


class ModesSwapped(TrainIsPrediction):
    """Training is prediction and prediction is training."""

    def eval_step(self, x, dy):
        return OracleLayer.train_step(self, x, dy)


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


class NoGradIsFrozen(OracleLayer):
    """Training with gradients off normalizes by the batch, but does not move the statistics."""

    def train_no_grad_step(self, x):
        kept = self.average_mean, self.average_var, self.updates
        values = super().train_no_grad_step(x)
        self.average_mean, self.average_var, self.updates = kept
        return values
