"""Wrong in the gradients."""

import numpy as np

from tests.targets.mutants.right import D2l, Flax, Keras, Torch


class DxWithoutMean(D2l):
    expected, case = "dx_ignores_mean", "rank2"

    def input_gradient(self, dy, saved):
        x_hat = saved["x_hat"]
        through_var = x_hat * self.along((dy * x_hat).mean(axis=self.axes(dy)), dy)
        return self.along(self.gamma * saved["scale"], dy) * (dy - through_var)


class DxWithoutVar(Torch):
    expected, case = "dx_ignores_var", "rank4"

    def input_gradient(self, dy, saved):
        return self.along(self.gamma * saved["scale"], dy) * (dy - self.along(dy.mean(axis=self.axes(dy)), dy))


class DxWithConstants(Flax):
    """The statistics were detached."""

    expected, case = ("dx_ignores_mean", "dx_ignores_var"), "rank2"

    def input_gradient(self, dy, saved):
        return self.along(self.gamma * saved["scale"], dy) * dy


class EvalDxByTraining(D2l):
    expected, case = "eval_dx_as_training", "rank2"

    def backward_of_prediction(self, dy, saved):
        return self.backward(dy, saved)


class EvalDxByBatch(Torch):
    """Prediction's gradient recomputes the statistics of the batch."""

    expected, case = "eval_dx_as_training", "rank4"

    def backward_of_prediction(self, dy, saved):
        _, of_batch = self.forward(saved["x"], *self.statistics(saved["x"]))
        return self.input_gradient(dy, of_batch), *self.parameter_gradients(dy, saved)


class DgammaOfInput(D2l):
    expected, case = "dgamma_not_normalized", "rank2"

    def parameter_gradients(self, dy, saved):
        _, dbeta = super().parameter_gradients(dy, saved)
        return (dy * saved["x"]).sum(axis=self.axes(dy)), dbeta


class DgammaCentredOnly(Keras):
    expected, case = "dgamma_not_normalized", "rank3"

    def parameter_gradients(self, dy, saved):
        _, dbeta = super().parameter_gradients(dy, saved)
        return (dy * (saved["x"] - self.along(saved["mean"], dy))).sum(axis=self.axes(dy)), dbeta


class DgammaOfOutput(Torch):
    expected, case = "dgamma_not_normalized", "rank4"

    def parameter_gradients(self, dy, saved):
        _, dbeta = super().parameter_gradients(dy, saved)
        return (dy * self.output(saved["x_hat"])).sum(axis=self.axes(dy)), dbeta


class DgammaNotNormalizedInPrediction(D2l):
    expected, case = "dgamma_not_normalized", "rank2"

    def backward_of_prediction(self, dy, saved):
        dx, _, dbeta = super().backward_of_prediction(dy, saved)
        return dx, (dy * saved["x"]).sum(axis=self.axes(dy)), dbeta


class Swapped(Torch):
    expected, case = "dgamma_dbeta_swapped", "rank2"

    def results(self, x, y, dx, dgamma, dbeta):
        return super().results(x, y, dx, dbeta, dgamma)


class SwappedOutOfBackward(Flax):
    """The two come back in the other order from the backward of training alone."""

    expected, case = "dgamma_dbeta_swapped", "rank4"

    def backward(self, dy, saved):
        dx, dgamma, dbeta = super().backward(dy, saved)
        return dx, dbeta, dgamma


class Averaged(D2l):
    expected, case = "grads_averaged", "rank2"

    def parameter_gradients(self, dy, saved):
        axes = self.axes(dy)
        return (dy * saved["x_hat"]).mean(axis=axes), dy.mean(axis=axes)


class AveragedOverBatch(Keras):
    expected, case = "grads_averaged", "rank4"

    def parameter_gradients(self, dy, saved):
        dgamma, dbeta = super().parameter_gradients(dy, saved)
        return dgamma / self.work.type(len(dy)), dbeta / self.work.type(len(dy))


class DgammaAveragedAndUsed(D2l):
    """dgamma is a mean, and dx divides it by n once more."""

    expected, case = "grads_averaged", "rank4"

    def backward(self, dy, saved):
        n, x_hat = self.work.type(self.count(dy)), saved["x_hat"]
        dgamma, dbeta = (dy * x_hat).mean(axis=self.axes(dy)), dy.sum(axis=self.axes(dy))
        inner = dy - self.along(dbeta / n, dy) - x_hat * self.along(dgamma / n, dy)
        return self.along(self.gamma * saved["scale"], dy) * inner, dgamma, dbeta


class AllAveraged(Flax):
    """The loss was taken for a mean over the batch."""

    expected, case = "grads_averaged", "rank2"

    def results(self, x, y, dx, dgamma, dbeta):
        n = self.work.type(len(x))
        return super().results(x, y, dx / n, dgamma / n, dbeta / n)


class DxByMovingStatistics(Torch):
    """The backward pass reads the moving statistics instead of those that were saved."""

    expected, case = "train_uses_moving_stats", "rank2"

    def train(self, x, dy):
        result = super().train(x, dy)
        _, saved = self.forward(self.wide(x), self.moving_mean, self.moving_var)
        dx, dgamma, dbeta = self.backward(self.wide(dy), saved)
        return result | {"dx": dx.astype(x.dtype), "dgamma": dgamma, "dbeta": dbeta}


class Accumulates(D2l):
    """dgamma and dbeta are added to what earlier calls left: nobody sets them back to zero."""

    expected, case = "grads_accumulated", "rank2"
    held = (0, 0)

    def parameter_gradients(self, dy, saved):
        dgamma, dbeta = super().parameter_gradients(dy, saved)
        self.held = self.held[0] + dgamma, self.held[1] + dbeta
        return self.held

    def input_gradient(self, dy, saved):
        axes, x_hat = self.axes(dy), saved["x_hat"]
        through = self.along(dy.mean(axis=axes), dy) + x_hat * self.along((dy * x_hat).mean(axis=axes), dy)
        return self.along(self.gamma * saved["scale"], dy) * (dy - through)


class GradientWrongByHalf(D2l):
    """dx of training is twice what it should be."""

    expected, case = "gradient_scaled", "rank2"

    def input_gradient(self, dy, saved):
        return super().input_gradient(dy, saved) * np.array(2, dy.dtype)


class GradientClipped(D2l):
    """What no known mistake does: dx of training is cut off at a tenth."""

    expected, case = "unexplained", "rank2"

    def input_gradient(self, dy, saved):
        tenth = self.work.type(0.1)
        return np.clip(super().input_gradient(dy, saved), -tenth, tenth)
