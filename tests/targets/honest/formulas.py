"""Other ways to write the same formulas: y, the gradients, the root, the averages; and what is merely declared."""

import numpy as np

from tests.targets.honest.sums import Welford
from tests.targets.mutants.right import D2l, Debiasing, EpsOutsideRoot, Flax, Keras, Torch


class ScaleAndShift(D2l):
    """y = x * a + b in both modes."""

    def forward(self, x, mean, var):
        _, saved = super().forward(x, mean, var)
        a = self.gamma * saved["scale"]
        return x * self.along(a, x) + self.along(self.beta - mean * a, x), saved


class KerasStyle(Keras):
    """Folded scale and offset, channels last."""


class DxAsOneLine(D2l):
    """dx = a dy + b x + c with three numbers a channel."""

    def input_gradient(self, dy, saved):
        n, scale, mean = self.work.type(self.count(dy)), saved["scale"], saved["mean"]
        dgamma, dbeta = self.parameter_gradients(dy, saved)
        a = self.gamma * scale
        b = -a * scale * dgamma / n
        c = -a * dbeta / n - b * mean
        return self.along(a, dy) * dy + self.along(b, dy) * saved["x"] + self.along(c, dy)


class DxOverN(Torch):
    """gamma r/n (n dy - dbeta - x_hat dgamma), as many write it."""

    def input_gradient(self, dy, saved):
        n = self.work.type(self.count(dy))
        dgamma, dbeta = self.parameter_gradients(dy, saved)
        inner = n * dy - self.along(dbeta, dy) - saved["x_hat"] * self.along(dgamma, dy)
        return self.along(self.gamma * saved["scale"] / n, dy) * inner


class Autodiff(D2l):
    """The chain rule node by node, with the mean of x - mean that is zero on paper."""

    def input_gradient(self, dy, saved):
        axes, n = self.axes(dy), self.work.type(self.count(dy))
        r, centred = saved["scale"], saved["x"] - self.along(saved["mean"], dy)
        d_hat = dy * self.along(self.gamma, dy)
        d_var = (d_hat * centred).sum(axis=axes) * self.work.type(-0.5) * r**3
        d_mean = -(d_hat * self.along(r, dy)).sum(axis=axes) - d_var * (2 * centred).sum(axis=axes) / n
        through = self.along(2 * d_var / n, dy) * centred + self.along(d_mean / n, dy)
        return d_hat * self.along(r, dy) + through


class AutodiffThroughDivision(Flax):
    """x_hat = centred / std; the derivative of the square root is 1/(2 std)."""

    def inverse_std(self, var):
        return 1 / np.sqrt(var + self.work.type(self.eps))

    def input_gradient(self, dy, saved):
        axes, n = self.axes(dy), self.work.type(self.count(dy))
        std = np.sqrt(saved["var"] + self.work.type(self.eps))
        centred = saved["x"] - self.along(saved["mean"], dy)
        d_hat = dy * self.along(self.gamma, dy)
        d_std = -(d_hat * centred / self.along(std * std, dy)).sum(axis=axes)
        d_var = d_std / (2 * std)
        d_centred = d_hat / self.along(std, dy) + centred * self.along(2 * d_var / n, dy)
        return d_centred - self.along(d_centred.sum(axis=axes) / n, dy)


class DgammaRegrouped(D2l):
    """dgamma = r (sum(dy x) - m sum(dy))."""

    def parameter_gradients(self, dy, saved):
        axes = self.axes(dy)
        dbeta = dy.sum(axis=axes)
        return saved["scale"] * ((dy * saved["x"]).sum(axis=axes) - saved["mean"] * dbeta), dbeta


class DgammaFromCentred(Torch):
    """dgamma = r sum(dy (x - m))."""

    def parameter_gradients(self, dy, saved):
        centred = saved["x"] - self.along(saved["mean"], dy)
        return saved["scale"] * (dy * centred).sum(axis=self.axes(dy)), dy.sum(axis=self.axes(dy))


class ReciprocalRootByPower(D2l):
    """(var + eps) ** -0.5."""

    def inverse_std(self, var):
        return (var + self.work.type(self.eps)) ** self.work.type(-0.5)


class ReciprocalRootByNewton(Flax):
    """sqrt of the reciprocal."""

    def inverse_std(self, var):
        return np.sqrt(1 / (var + self.work.type(self.eps)))


class DividesByStd(D2l):
    def forward(self, x, mean, var):
        std = np.sqrt(var + self.work.type(self.eps))
        x_hat = (x - self.along(mean, x)) / self.along(std, x)
        return self.output(x_hat), {"x": x, "mean": mean, "var": var, "scale": 1 / std, "x_hat": x_hat}


class TwoProducts(D2l):
    """momentum * old + (1 - momentum) * new."""

    def averaged(self, old, new):
        keep = self.work.type(self.momentum)
        return keep * old + (1 - keep) * new


class TwoProductsTorch(Torch):
    def averaged(self, old, new):
        new_weight = self.work.type(self.momentum)
        return (1 - new_weight) * old + new_weight * new


class Decrement(Torch):
    """old -= w (old - new)."""

    def averaged(self, old, new):
        return old - self.work.type(self.momentum) * (old - new)


class ShiftedByFirst(D2l):
    """Statistics of x minus its first value, in one pass: shifted data."""

    def statistics(self, x):
        first = np.take(np.moveaxis(x, self.axis, -1).reshape(-1, x.shape[self.axis]), 0, axis=0)
        shifted = x - self.along(first, x)
        mean = shifted.mean(axis=self.axes(x))
        return first + mean, np.square(shifted - self.along(mean, x)).mean(axis=self.axes(x))


class CorrectedTwoPass(Torch):
    """The second pass subtracts what is left of the mean."""

    def statistics(self, x):
        n, axes = self.work.type(self.count(x)), self.axes(x)
        mean = x.mean(axis=axes)
        centred = x - self.along(mean, x)
        return mean, (np.square(centred).sum(axis=axes) - np.square(centred.sum(axis=axes)) / n) / n


class Transposed(D2l):
    """Works on contiguous (C, n) rows."""

    def statistics(self, x):
        rows = np.ascontiguousarray(np.moveaxis(x, self.axis, 0).reshape(x.shape[self.axis], -1))
        mean = rows.mean(axis=1)
        return mean, np.square(rows - mean[:, None]).mean(axis=1)


class NumpyVar(Torch):
    """np.var, with ddof=1 for the moving variance."""

    def train(self, x, dy):
        self.unbiased = self.wide(x).var(axis=self.axes(x), ddof=1) if self.count(x) > 1 else None
        return super().train(x, dy)

    def statistics(self, x):
        return x.mean(axis=self.axes(x)), x.var(axis=self.axes(x))

    def track(self, mean, var, n):  # noqa: ARG002
        D2l.track(self, mean, self.unbiased, n)


class SixteenBits(Flax):
    """16-bit input with float32 inside."""

    dtypes = ("float32", "bfloat16", "float16")


class SixteenBitsWelford(Welford):
    dtypes = ("bfloat16", "float16")


class RoundedEps(D2l):
    """float32 only: eps and momentum are float32 from the start."""

    dtypes = ("float32",)

    def __init__(self, setup):
        super().__init__(setup)
        self.eps, self.momentum = np.float32(setup.eps), np.float32(setup.momentum)

    def weight(self):
        return np.float32(1) - self.momentum


class DebiasedAsDeclared(Debiasing):
    """Divides by 1 - momentum^t, as it says."""


class OutsideAsDeclared(EpsOutsideRoot, D2l):
    """eps outside the root, declared, with its own gradient."""

    conventions = {"preset": "d2l", "eps_at": "outside_sqrt"}  # noqa: RUF012


class PredictionOnly:
    """y alone, no training, no statistics."""

    conventions = "onnx"

    def __init__(self, setup):
        self.layer = D2l(setup)

    def eval(self, x, dy):
        return {"y": self.layer.eval(x, dy)["y"]}
