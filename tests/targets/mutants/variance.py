"""Wrong in y by way of the variance: Bessel's factor, eps, cancellation, too few bits."""

import numpy as np

from tests.targets.mutants.right import D2l, EpsOutsideRoot, Flax, Keras, KnowsPrediction, Torch


class BatchVarUnbiased(D2l):
    """np.var(ddof=1) for y; closed-form gradient."""

    expected, case = "batch_var_unbiased", "two_values"

    def forward(self, x, mean, var):
        n = self.count(x)
        return super().forward(x, mean, var if var is self.moving_var else var * n / (n - 1))


class BatchVarUnbiasedByAutodiff(Torch):
    """torch.var by default: n - 1 in y, in its gradient, and in what is averaged."""

    expected, case = "batch_var_unbiased", "two_values"

    def statistics(self, x):
        mean, var = super().statistics(x)
        n = self.count(x)
        return mean, var * n / (n - 1)

    def track(self, mean, var, n):
        D2l.track(self, mean, var, n)

    def input_gradient(self, dy, saved):
        axes, x_hat, n = self.axes(dy), saved["x_hat"], self.count(dy)
        through_mean = self.along(dy.mean(axis=axes), dy)
        through_var = x_hat * self.along((dy * x_hat).sum(axis=axes) / (n - 1), dy)
        return self.along(self.gamma * saved["scale"], dy) * (dy - through_mean - through_var)


class EpsOutside(D2l):
    expected, case = "eps_outside_sqrt", "small_variance"

    def inverse_std(self, var):
        return 1 / (np.sqrt(var) + self.work.type(self.eps))


class EpsOutsideKeras(EpsOutsideRoot, Keras):
    """With its own gradient, where d std/d var = 1/(2 std)."""

    expected, case = "eps_outside_sqrt", "large_eps"


class EpsOutsideInPrediction(KnowsPrediction, Torch):
    expected, case = "eps_outside_sqrt", "small_variance"

    def inverse_std(self, var):
        if self.predicting:
            return 1 / (np.sqrt(var) + self.work.type(self.eps))
        return super().inverse_std(var)


class EpsMissing(D2l):
    expected, case = "eps_missing", "small_variance"

    def inverse_std(self, var):
        return 1 / np.sqrt(var)


class EpsMissingTorch32(Torch):
    expected, case = "eps_missing", "zero_moving_var"
    dtypes = ("float32",)

    def inverse_std(self, var):
        return var**-0.5


class EpsMissingInPrediction(Flax):
    expected, case = "eps_missing", "zero_moving_var"

    def eval(self, x, dy):
        given, self.eps = self.eps, 0.0
        try:
            return super().eval(x, dy)
        finally:
            self.eps = given


class EpsAsMaximum(D2l):
    expected, case = "eps_wrong", "small_variance"

    def inverse_std(self, var):
        return 1 / np.sqrt(np.maximum(var, self.work.type(self.eps)))


class EpsSquared(Torch):
    expected, case = "eps_wrong", "small_variance"

    def inverse_std(self, var):
        return 1 / np.sqrt(var + self.work.type(self.eps) ** 2)


class EpsOfAnother(D2l):
    """Keras' eps, hard-coded."""

    expected, case = "eps_wrong", "small_variance"

    def inverse_std(self, var):
        return 1 / np.sqrt(var + self.work.type(1e-3))


class EpsTenfold(Flax):
    expected, case = "eps_wrong", "large_eps"

    def inverse_std(self, var):
        return 1 / np.sqrt(var + self.work.type(10 * self.eps))


class EpsStored(D2l):
    """eps is added to the variance in place, and so averaged."""

    expected, case = "eps_wrong", "small_variance"

    def track(self, mean, var, n):
        super().track(mean, var + self.work.type(self.eps), n)


class FastVariance(D2l):
    """E[x^2] - E[x]^2, clipped at zero."""

    expected, case = "fast_variance", "large_mean_1e4"

    def statistics(self, x):
        mean = x.mean(axis=self.axes(x))
        return mean, np.maximum(np.square(x).mean(axis=self.axes(x)) - np.square(mean), 0)


class FastVarianceUnclipped32(Torch):
    expected, case = "fast_variance", "large_mean_1e4"
    dtypes = ("float32",)

    def statistics(self, x):
        mean = x.mean(axis=self.axes(x))
        return mean, np.square(x).mean(axis=self.axes(x)) - np.square(mean)


class FastVarianceSequential(Flax):
    """One pass over the values, two running sums."""

    expected, case = "fast_variance", "large_mean_1e6"

    def statistics(self, x):
        rows = x.reshape(-1, x.shape[-1])
        total, squares = np.zeros_like(rows[0]), np.zeros_like(rows[0])
        for row in rows:
            total = total + row
            squares = squares + row * row
        mean = total / self.work.type(len(rows))
        return mean, np.maximum(squares / self.work.type(len(rows)) - mean * mean, 0)


class SinglePrecisionInside(D2l):
    """float64 in and out, float32 inside."""

    expected, case = "low_precision_stats", "rank2"
    dtypes = ("float32", "float64")

    def statistics(self, x):
        mean, var = super().statistics(x.astype(np.float32))
        return mean.astype(self.work), var.astype(self.work)


class HalfPrecisionStatistics(D2l):
    """Statistics in float16 for float32 input."""

    expected, case = "low_precision_stats", "thousand_values"
    dtypes = ("float32",)

    def statistics(self, x):
        mean = x.mean(axis=self.axes(x), dtype=np.float16)
        var = np.square(x - self.along(mean, x)).mean(axis=self.axes(x), dtype=np.float16)
        return mean.astype(self.work), var.astype(self.work)


class MeanRoundedTo16Bits(Flax):
    """16-bit input: the mean is kept in the input's type."""

    expected, case = "low_precision_stats", "sixteen_bits_large_mean"
    dtypes = ("float32", "bfloat16", "float16")

    def __init__(self, setup):
        super().__init__(setup)
        self.narrow = setup.gamma.dtype if setup.dtype == "float32" else None

    def train(self, x, dy):
        self.narrow = x.dtype
        return super().train(x, dy)

    def statistics(self, x):
        mean = x.mean(axis=self.axes(x)).astype(self.narrow).astype(self.work)
        return mean, np.square(x - self.along(mean, x)).mean(axis=self.axes(x))


class AccumulatesIn16Bits(D2l):
    """16-bit input: values are added one by one in the input's type."""

    expected, case = "low_precision_stats", "sixteen_bits_thousand"
    dtypes = ("bfloat16", "float16")

    def __init__(self, setup):
        import ml_dtypes  # NumPy's bfloat16

        super().__init__(setup)
        self.narrow = np.dtype(ml_dtypes.bfloat16 if setup.dtype == "bfloat16" else np.float16)
        self.dtype = self.narrow

    def statistics(self, x):
        rows = np.moveaxis(x, 1, -1).reshape(-1, x.shape[1])
        mean = self.mean_of(rows)
        return mean, self.mean_of(np.square(rows - mean))

    def mean_of(self, rows):
        total = np.zeros(rows.shape[1], self.narrow)
        for row in rows.astype(self.narrow):
            total = total + row
        return (total.astype(self.work) / self.work.type(len(rows))).astype(self.work)
