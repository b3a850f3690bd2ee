"""Batch norms that go wrong in one situation each, and nowhere else where that can be: one for each case that is about
that situation. Plain NumPy, on the bases of the mutants.
"""

import numpy as np

from tests.targets.mutants.right import D2l


class DefaultsSkipped(D2l):
    """Gamma of 1 and beta of 0 are taken for a layer without parameters, which has no gradients for them."""

    case = "untouched_parameters"

    def parameter_gradients(self, dy, saved):
        dgamma, dbeta = super().parameter_gradients(dy, saved)
        has_parameters = (self.gamma != 1).any() or (self.beta != 0).any()
        return (dgamma, dbeta) if has_parameters else (np.zeros_like(dgamma), np.zeros_like(dbeta))


class RecoversXHat(D2l):
    """x_hat is recovered from y, which a gamma of 0 does not allow."""

    case = "gamma_zero"

    def forward(self, x, mean, var):
        y, saved = super().forward(x, mean, var)
        with np.errstate(all="ignore"):
            recovered = (y - self.along(self.beta, y)) / self.along(self.gamma, y)
        return y, saved | {"x_hat": np.where(self.along(self.gamma == 0, y), 0, recovered)}


class AbsoluteGamma(D2l):
    case = "negative_gamma"

    def output(self, x_hat):
        return self.along(np.abs(self.gamma), x_hat) * x_hat + self.along(self.beta, x_hat)


class NearestDefaultEps(D2l):
    case = "unusual_eps"

    def inverse_std(self, var):
        known = np.array([1e-7, 1e-5, 1e-3, 1.0])
        return 1 / np.sqrt(var + self.work.type(known[np.abs(np.log(known / self.eps)).argmin()]))


class EpsFloor(D2l):
    case = "tiny_eps"

    def inverse_std(self, var):
        return 1 / np.sqrt(var + self.work.type(max(self.eps, 1e-5)))


class EpsCeiling(D2l):
    case = "eps_one"

    def inverse_std(self, var):
        return 1 / np.sqrt(var + self.work.type(min(self.eps, 0.1)))


class VarianceFloor(D2l):
    case = "tiny_variance"

    def inverse_std(self, var):
        return 1 / np.sqrt(np.maximum(var, self.work.type(1e-6)) + self.work.type(self.eps))


class StridesSorted(D2l):
    """Reads x in the order in which it lies in memory, whatever its strides say, but knows a plain transpose."""

    case = "moved_channels"

    def wide(self, x):
        as_it_lies = x.transpose(np.argsort(x.strides)[::-1]).reshape(x.shape)
        return super().wide(x if x.T.flags.c_contiguous else as_it_lies)


class OffsetIgnored(D2l):
    case = "offset_input"

    def wide(self, x):
        buffer = x if x.base is None else x.base
        whole = x.flags.c_contiguous and buffer.ndim == 1 and buffer.size > x.size
        return super().wide(buffer[: x.size].reshape(x.shape) if whole else x)


class SignOfStrideIgnored(D2l):
    case = "reversed_input"

    def wide(self, x):
        return super().wide(x[tuple(slice(None, None, -1 if stride < 0 else 1) for stride in x.strides)])


class SharedSampleCountedOnce(D2l):
    case = "broadcast_gradient"
    shared = False

    def parameter_gradients(self, dy, saved):
        dgamma, dbeta = super().parameter_gradients(dy, saved)
        return dgamma, dbeta / len(dy) if self.shared else dbeta

    def train(self, x, dy):
        self.shared = dy.strides[0] == 0
        return super().train(x, dy)


class PixelsSqueezed(D2l):
    """Images of one pixel lose their spatial axes, and with them one sample too many."""

    case = "one_pixel"

    def statistics(self, x):
        mean, var = super().statistics(x)
        return mean, np.zeros_like(var) if x.ndim > 2 and x[0, 0].size == 1 else var


class FeatureSqueezed(D2l):
    """(N, 1) becomes (N,), which is taken for N features of one sample."""

    case = "one_feature"

    def statistics(self, x):
        mean, var = super().statistics(x)
        return mean, np.zeros_like(var) if x.ndim == 2 and x.shape[1] == 1 else var


class OneSampleByItself(D2l):
    """One sample is normalized by itself in prediction as well."""

    case = "predict_one_sample"

    def statistics_for_prediction(self, x):
        return self.statistics(x) if self.count(x) == 1 else super().statistics_for_prediction(x)


class OnePixelByItself(OneSampleByItself):
    case = "predict_one_pixel"


class ChannelsInABlock(D2l):
    """A block has 256 channels, and there is only one."""

    case = "many_channels"

    def output(self, x_hat):
        y = super().output(x_hat)
        y[:, 256:] = 0
        return y


class CountKept(D2l):
    """The number of values is that of the first call."""

    case = "changing_batch"
    first = None

    def statistics(self, x):
        self.first = self.first or self.count(x)
        mean = x.sum(axis=self.axes(x)) / self.work.type(self.first)
        return mean, np.square(x - self.along(mean, x)).mean(axis=self.axes(x))


class PredictionKept(D2l):
    """A second prediction in a row gives the y of the first."""

    case = "two_predictions_first"
    kept = None

    def train(self, x, dy):
        self.kept = None
        return super().train(x, dy)

    def eval(self, x, dy):
        results = super().eval(x, dy)
        self.kept = results["y"] if self.kept is None else self.kept
        return results | {"y": self.kept}


class WarmUp(D2l):
    """The moving statistics stand still after ten updates."""

    case = "twenty_steps"
    updates = 0

    def track(self, mean, var, n):
        self.updates += 1
        if self.updates <= 10:
            super().track(mean, var, n)


class LoadsIntoNewOnly(D2l):
    """A layer that has trained keeps the statistics that it has when a state is loaded."""

    case = "load_into_used"
    used = False

    def track(self, mean, var, n):
        self.used = True
        super().track(mean, var, n)

    def load_state(self, state):
        own = self.moving_mean, self.moving_var
        super().load_state(state)
        if self.used:
            self.moving_mean, self.moving_var = own


class SquaresInHalf(D2l):
    """The squares of 16-bit deviations are formed in 16 bits, where they overflow."""

    case = "float16_large_deviations"
    dtypes = ("float32", "float16")

    def statistics(self, x):
        mean = x.mean(axis=self.axes(x))
        squares = np.square((x - self.along(mean, x)).astype(self.dtype))
        return mean, squares.mean(axis=self.axes(x), dtype=self.work)


class EpsOrDefault(D2l):
    """`eps or 1e-5`: an eps of 0 is taken for none."""

    def inverse_std(self, var):
        return 1 / np.sqrt(var + self.work.type(self.eps or 1e-5))


class RefusesTinyEps(D2l):
    def __init__(self, setup):
        if 0 < setup.eps < 1e-5:
            raise ValueError("eps must be 1e-5 at least")
        super().__init__(setup)


class UnbiasedOfOne(D2l):
    """An unbiased moving variance: of one value it is 0/0."""

    conventions = {"preset": "d2l", "moving_var": "unbiased"}  # noqa: RUF012

    def track(self, mean, var, n):
        with np.errstate(invalid="ignore"):
            super().track(mean, var * self.work.type(n) / np.asarray(n - 1, self.work), n)


class BufferUsedAgain(D2l):
    """y of each shape is written to the same array each time."""

    def __init__(self, setup):
        super().__init__(setup)
        self.buffers = {}

    def results(self, x, y, dx, dgamma, dbeta):
        results = super().results(x, y, dx, dgamma, dbeta)
        buffer = self.buffers.setdefault(x.shape, np.empty_like(x))
        buffer[...] = results["y"]
        return results | {"y": buffer}


class FourthBlockLost(D2l):
    """Beta's gradient is summed in blocks of 1,024 values, of which three at most are added."""

    case = "exact_4096"

    def parameter_gradients(self, dy, saved):
        dgamma, _ = super().parameter_gradients(dy, saved)
        rows = np.moveaxis(dy, self.axis, -1).reshape(-1, dy.shape[self.axis])
        return dgamma, rows[: 3 * 1024].sum(axis=0)
