"""Wrong in y otherwise: the axes, gamma and beta, the form of the results, single values."""

import numpy as np

from tests.targets.mutants.right import D2l, Flax, Keras, Torch


class PerSample(D2l):
    """Layer norm: every axis but the first."""

    expected, case = "wrong_axis", "all_axes_equal"

    def train(self, x, dy):
        axes = tuple(range(1, x.ndim))
        mean, var = x.mean(axis=axes, keepdims=True), x.var(axis=axes, keepdims=True)
        x_hat = (x - mean) / np.sqrt(var + self.work.type(self.eps))
        dgamma, dbeta = self.parameter_gradients(dy, {"x_hat": x_hat})
        self.track(mean.mean(), var.mean(), x[0].size)
        g = dy * self.along(self.gamma, x)
        dx = g - g.mean(axis=axes, keepdims=True) - x_hat * (g * x_hat).mean(axis=axes, keepdims=True)
        return {"y": self.output(x_hat), "dx": dx / np.sqrt(var + self.work.type(self.eps)), "dgamma": dgamma,
                "dbeta": dbeta}  # fmt: skip

    def track(self, mean, var, n):
        super().track(np.full_like(self.moving_mean, mean), np.full_like(self.moving_var, var), n)


class PerInstance(D2l):
    """Instance norm in training: statistics per sample and channel, their average over the samples is tracked."""

    expected, case = "wrong_axis", "rank4"

    def train(self, x, dy):
        axes = tuple(range(2, x.ndim))
        mean, var = x.mean(axis=axes, keepdims=True), x.var(axis=axes, keepdims=True)
        scale = 1 / np.sqrt(var + self.work.type(self.eps))
        x_hat = (x - mean) * scale
        dgamma, dbeta = self.parameter_gradients(dy, {"x_hat": x_hat})
        inner = dy - dy.mean(axis=axes, keepdims=True) - x_hat * (dy * x_hat).mean(axis=axes, keepdims=True)
        self.track(mean.mean(axis=self.axes(x)), var.mean(axis=self.axes(x)), 0)
        return {"y": self.output(x_hat), "dx": self.along(self.gamma, x) * scale * inner, "dgamma": dgamma,
                "dbeta": dbeta}  # fmt: skip


class InstanceNorm(D2l):
    """Posing as batch norm: statistics per sample and channel in prediction as well, and none that move."""

    expected, case = "wrong_axis", "rank4"

    def normalized_over(self, x):
        return tuple(range(2, x.ndim))

    def train(self, x, dy):
        given, x, dy = x, self.wide(x), self.wide(dy)
        axes = self.normalized_over(x)
        mean, var = x.mean(axis=axes, keepdims=True), x.var(axis=axes, keepdims=True)
        scale = self.inverse_std(var)
        x_hat = (x - mean) * scale
        g = dy * self.along(self.gamma, x)
        dx = scale * (g - g.mean(axis=axes, keepdims=True) - x_hat * (g * x_hat).mean(axis=axes, keepdims=True))
        return self.results(given, self.output(x_hat), dx, *self.parameter_gradients(dy, {"x_hat": x_hat}))

    def eval(self, x, dy):
        return self.train(x, dy)


class LayerNorm(InstanceNorm):
    """The same per sample."""

    expected, case = "wrong_axis", "all_axes_equal"

    def normalized_over(self, x):
        return tuple(range(1, x.ndim))


class NormOverChannels(InstanceNorm):
    """The same over the channels alone, channels last."""

    conventions = "flax"
    axis = -1
    expected, case = "wrong_axis", "rank2"

    def normalized_over(self, x):
        return (x.ndim - 1,)


class LastAxisTaken(D2l):
    """Reduces over (0, 1, 2) where channels lie on axis 1."""

    expected, case = "wrong_axis", "all_axes_equal"
    axis = -1


class FirstAxisTaken(Flax):
    """Channels are thought to lie on axis 1 of a channels-last input."""

    expected, case = "wrong_axis", "all_axes_equal"
    axis = 1


class WidthForgotten(D2l):
    """Reduces over batch and height, not over width; the moving values are right."""

    expected, case = "wrong_axis", "rank4"
    ranks = (2, 4)

    def forward(self, x, mean, var):
        if x.ndim == 4 and mean is not self.moving_mean:
            mean = x.mean(axis=(0, 2), keepdims=True)
            var = x.var(axis=(0, 2), keepdims=True)
            scale = self.inverse_std(var)
            x_hat = (x - mean) * scale
            whole = {"scale": scale.mean(axis=(0, 2, 3)), "x_hat": x_hat, "x": x}
            return self.output(x_hat), whole
        return super().forward(x, mean, var)


class OneMeanForAll(Torch):
    """x.mean() and x.var() of everything."""

    expected, case = "wrong_axis", "wide_scales"

    def forward(self, x, mean, var):
        if mean is self.moving_mean:
            return super().forward(x, mean, var)
        return super().forward(x, np.full_like(mean, x.mean()), np.full_like(var, x.var()))


class MeanLostInFolding(Torch):
    """Prediction's folded shift is beta alone."""

    expected, case = "mean_not_subtracted", "rank4"

    def eval(self, x, dy):
        scale = self.gamma * self.inverse_std(self.moving_var)
        y = self.wide(x) * self.along(scale, x) + self.along(self.beta, x)
        return super().eval(x, dy) | {"y": y.astype(x.dtype)}


class NeverCentred(Torch):
    """The variance is right, and divides x itself."""

    expected, case = "mean_not_subtracted", "rank2"

    def forward(self, x, mean, var):
        return super().forward(x, 0 * mean, var)


class GammaForgotten(D2l):
    expected, case = "gamma_ignored", "rank2"

    def output(self, x_hat):
        return x_hat + self.along(self.beta, x_hat)


class GammaForgottenInGradient(Torch):
    expected, case = "gamma_ignored", "rank4"

    def input_gradient(self, dy, saved):
        gamma, self.gamma = self.gamma, np.ones_like(self.gamma)
        try:
            return super().input_gradient(dy, saved)
        finally:
            self.gamma = gamma


class GammaForgottenInPrediction(Flax):
    """Folding loses gamma."""

    expected, case = "gamma_ignored", "rank2"

    def eval(self, x, dy):
        gamma, self.gamma = self.gamma, np.ones_like(self.gamma)
        try:
            return super().eval(x, dy)
        finally:
            self.gamma = gamma


class BetaForgotten(Keras):
    expected, case = "beta_ignored", "rank2"

    def forward(self, x, mean, var):
        _, saved = super().forward(x, mean, var)
        return self.along(self.gamma, x) * saved["x_hat"], saved


class BetaForgottenInPrediction(D2l):
    """Folding loses beta."""

    expected, case = "beta_ignored", "rank4"

    def eval(self, x, dy):
        result = super().eval(x, dy)
        return result | {"y": (result["y"] - self.along(self.beta, x)).astype(x.dtype)}


class WritesIntoInput(D2l):
    """Centres x in place."""

    expected, case = "input_mutated", "read_only_input"

    def wide(self, x):
        return x

    def forward(self, x, mean, var):
        centred = np.subtract(x, self.along(mean, x), out=x)
        scale = self.inverse_std(var)
        x_hat = centred * self.along(scale, x)
        return self.output(x_hat), {"x": x, "mean": mean, "var": var, "scale": scale, "x_hat": x_hat}


class WritesIntoGradient(Torch):
    """Multiplies dy by gamma in place, once all else is computed."""

    expected, case = "input_mutated", "rank2"

    def train(self, x, dy):
        result = super().train(x, dy)
        dy *= self.along(self.gamma, dy)
        return result


class WiderResult(D2l):
    """float64 comes back whatever went in."""

    expected, case = "wrong_form", "rank2"

    def results(self, x, y, dx, dgamma, dbeta):  # noqa: ARG002
        return {"y": y.astype(np.float64), "dx": dx, "dgamma": dgamma, "dbeta": dbeta}


class KeepsDims(D2l):
    """dgamma and dbeta come back as (1, C, 1, 1)."""

    expected, case = "wrong_form", "rank4"

    def results(self, x, y, dx, dgamma, dbeta):
        dgamma, dbeta = self.along(dgamma, x), self.along(dbeta, x)
        return super().results(x, y, dx, dgamma, dbeta)


class SingleValueNan(D2l):
    """One value per channel gives NaN."""

    expected, case = "single_value_wrong", "one_value"

    def train(self, x, dy):
        results = super().train(x, dy)
        return results | {"y": np.full_like(x, np.nan)} if self.count(x) == 1 else results


class SingleValueAccepted(Torch):
    """torch refuses it; here it passes."""

    expected, case = "single_value_wrong", "one_value"

    def train(self, x, dy):
        return D2l.train(self, x, dy)

    def track(self, mean, var, n):
        super().track(mean, var, max(n, 2))


class NanLeaks(D2l):
    """gamma is applied by a matrix product, whose zeros times NaN are NaN in every channel."""

    expected, case = "non_finite_output", "nan_in_one_channel"

    def output(self, x_hat):
        rows = np.moveaxis(x_hat, 1, -1)
        with np.errstate(all="ignore"):
            return np.moveaxis(rows @ np.diag(self.gamma), -1, 1) + self.along(self.beta, x_hat)
