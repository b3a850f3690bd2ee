"""A wrong power, count, sign or function of gamma; a gradient times a constant; strides ignored."""

import numpy as np

from tests.targets.mutants.right import D2l, Flax, Keras, Torch


class RootForgotten(D2l):
    expected, case = "wrong_power", "rank2"

    def inverse_std(self, var):
        return 1 / (var + self.work.type(self.eps))


class Squared(Flax):
    """(var + eps)^2 is multiplied by."""

    expected, case = "wrong_power", "rank4"

    def inverse_std(self, var):
        return (var + self.work.type(self.eps)) ** 2


class RootForgottenInPrediction(Keras):
    expected, case = "wrong_power", "rank2"

    def eval(self, x, dy):
        self.root = False
        try:
            return super().eval(x, dy)
        finally:
            self.root = True

    root = True

    def inverse_std(self, var):
        scale = super().inverse_std(var)
        return scale if self.root else scale * scale


class SquareInGradient(Torch):
    """The gradient of the variance has r^2 where r^3 is owed."""

    expected, case = "wrong_power", "rank3"

    def input_gradient(self, dy, saved):
        axes, x_hat, scale = self.axes(dy), saved["x_hat"], saved["scale"]
        through_mean = self.along(dy.mean(axis=axes), dy)
        through_var = x_hat * self.along((dy * x_hat).mean(axis=axes) / scale, dy)
        return self.along(self.gamma * scale, dy) * (dy - through_mean - through_var)


class InverseStdTracked(D2l):
    """What the forward pass saves, 1/sqrt(var + eps), is averaged."""

    expected, case = "inverse_std_averaged", "rank2"

    def track(self, mean, var, n):
        super().track(mean, self.inverse_std(var), n)


class InverseStdKept(Flax):
    """The layer keeps a moving inverse standard deviation, in more digits than it shows: 1/r^2 - eps cancels."""

    expected, case = "inverse_std_averaged", "five_steps"

    def track(self, mean, var, n):  # noqa: ARG002
        self.moving_mean = self.averaged(self.moving_mean, mean)
        old, new = (self.inverse_std(v.astype(np.longdouble)) for v in (self.moving_var, var))
        average = self.averaged(old, new)
        self.moving_var = (1 / np.square(average) - self.work.type(self.eps)).astype(self.work)


class SumOverBatchSize(D2l):
    """Sums over N, H and W are divided by N."""

    expected, case = "wrong_count", "rank4"

    def statistics(self, x):
        mean = x.sum(axis=self.axes(x)) / self.work.type(len(x))
        return mean, np.square(x - self.along(mean, x)).sum(axis=self.axes(x)) / self.work.type(len(x))


class VarianceOverChannels(Torch):
    expected, case = "wrong_count", "rank2"

    def statistics(self, x):
        mean = x.mean(axis=self.axes(x))
        return mean, np.square(x - self.along(mean, x)).sum(axis=self.axes(x)) / self.work.type(len(mean))


class DxOverBatchSize(Flax):
    """The means in dx divide by the batch size."""

    expected, case = "wrong_count", "rank4"

    def input_gradient(self, dy, saved):
        axes, x_hat, n = self.axes(dy), saved["x_hat"], self.work.type(len(dy))
        means = self.along(dy.sum(axis=axes) / n, dy) + x_hat * self.along((dy * x_hat).sum(axis=axes) / n, dy)
        return self.along(self.gamma * saved["scale"], dy) * (dy - means)


class BesselByChannels(Torch):
    """C/(C - 1)."""

    expected, case = "bessel_wrong", "rank4"

    def track(self, mean, var, n):  # noqa: ARG002
        channels = len(mean)
        D2l.track(self, mean, var * self.work.type(channels / max(1, channels - 1)) if channels > 1 else var, channels)


class BesselWithEps(Torch):
    """n/(n - 1 + eps), so that nothing is divided by zero."""

    expected, case = "bessel_wrong", "eps_one"

    def track(self, mean, var, n):
        D2l.track(self, mean, var * self.work.type(n / (n - 1 + self.eps)), n)


class MeanWithBessel(Torch):
    """Both moving statistics take Bessel's factor."""

    expected, case = "mean_bessel", "two_values"

    def track(self, mean, var, n):
        super().track(mean * self.work.type(n / (n - 1)), var, n)


class ReducedTwice(Torch):
    """The gradients of the parameters are summed over two replicas that hold the same."""

    expected, case = "gradient_scaled", "rank2"

    def parameter_gradients(self, dy, saved):
        dgamma, dbeta = super().parameter_gradients(dy, saved)
        self.totals = dgamma, dbeta
        return 2 * dgamma, 2 * dbeta


class DxNegated(D2l):
    expected, case = "gradient_scaled", "rank4"

    def results(self, x, y, dx, dgamma, dbeta):
        return super().results(x, y, -dx, dgamma, dbeta)


class DxSlightlyLarge(Flax):
    """A loss scale that is not divided out."""

    expected, case = "gradient_scaled", "rank2"

    def results(self, x, y, dx, dgamma, dbeta):
        scale = self.work.type(1.001)
        return super().results(x, y, dx * scale, dgamma * scale, dbeta * scale)


class HalfForgotten(D2l):
    """d var/dx = 2 (x - mean)/n loses its 2."""

    expected, case = "gradient_scaled", "rank2"

    def input_gradient(self, dy, saved):
        axes, x_hat = self.axes(dy), saved["x_hat"]
        through_mean = self.along(dy.mean(axis=axes), dy)
        through_var = x_hat * self.along((dy * x_hat).mean(axis=axes) / 2, dy)
        return self.along(self.gamma * saved["scale"], dy) * (dy - through_mean - through_var)


class _OtherGamma(D2l):
    """The layer keeps something else than gamma, which the file holds."""

    def used_gamma(self):
        raise NotImplementedError

    def with_it(self, method, *args):
        given, self.gamma = self.gamma, self.used_gamma()
        try:
            return method(*args)
        finally:
            self.gamma = given

    def train(self, x, dy):
        return self.with_it(super().train, x, dy)

    def eval(self, x, dy):
        return self.with_it(super().eval, x, dy)


class GammaAbs(_OtherGamma):
    """|gamma|, as in-place layers that invert themselves take it."""

    expected, case = "gamma_abs", "rank2"

    def used_gamma(self):
        return np.abs(self.gamma)

    def parameter_gradients(self, dy, saved):
        dgamma, dbeta = super().parameter_gradients(dy, saved)
        return dgamma * self.sign, dbeta

    def with_it(self, method, *args):
        self.sign = np.sign(self.gamma)
        return super().with_it(method, *args)


class GammaPlusOne(_OtherGamma):
    expected, case = "gamma_plus_one", "rank4"

    def used_gamma(self):
        return 1 + self.gamma


class GammaExp(_OtherGamma):
    """gamma is taken for a logarithm; dgamma is not told."""

    expected, case = "gamma_exp", "rank2"

    def used_gamma(self):
        return np.exp(self.gamma)


class BetaSubtracted(D2l):
    expected, case = "beta_sign", "rank2"

    def output(self, x_hat):
        return self.along(self.gamma, x_hat) * x_hat - self.along(self.beta, x_hat)


class FoldAddsMean(Flax):
    """Prediction's folded shift is beta + mean * scale."""

    expected, case = "beta_sign", "rank4"

    def eval(self, x, dy):
        scale = self.gamma * self.inverse_std(self.moving_var)
        y = self.wide(x) * self.along(scale, x) + self.along(self.beta + self.moving_mean * scale, x)
        return super().eval(x, dy) | {"y": y.astype(x.dtype)}


class ReadsByAddress(D2l):
    """The kernel takes the address of the first element, and counts from there."""

    expected, case = "strides_ignored", "sliced_input"

    def wide(self, x):
        if min(x.strides) <= 0:
            return super().wide(x)
        steps = [x.itemsize * int(np.prod(x.shape[axis + 1 :])) for axis in range(x.ndim)]
        return np.lib.stride_tricks.as_strided(x, x.shape, steps).astype(self.work)


class ReadsInMemoryOrder(Flax):
    """The elements are taken in the order in which they lie."""

    expected, case = "strides_ignored", "transposed_input"

    def wide(self, x):
        return x.ravel(order="K").reshape(x.shape).astype(self.work)


class GradientByAddress(Torch):
    """dy alone is taken for contiguous."""

    expected, case = "strides_ignored", "transposed_input"

    def backward(self, dy, saved):  # noqa: ARG002
        return super().backward(self.in_memory, saved)

    def backward_of_prediction(self, dy, saved):  # noqa: ARG002
        return super().backward_of_prediction(self.in_memory, saved)

    def train(self, x, dy):
        self.in_memory = self.wide(dy.ravel(order="K").reshape(dy.shape))
        return super().train(x, dy)

    def eval(self, x, dy):
        self.in_memory = self.wide(dy.ravel(order="K").reshape(dy.shape))
        return super().eval(x, dy)
