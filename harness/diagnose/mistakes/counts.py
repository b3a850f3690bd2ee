"""A sum divided by the wrong count: the batch size, the channels, or the places of one sample; Bessel on the mean."""

from __future__ import annotations

from harness.judge.oracle import OracleLayer
from reference.batch_norm import from_rows, to_rows


class _Counting(OracleLayer):
    """`wrong` says what is divided by: "samples" (N), "channels" (C) or "places" (H W)."""

    alone = True
    wrong = "samples"
    samples_seen = 1

    def play(self, step):
        self.samples_seen = 1 if step.x is None else max(1, step.x.shape[0])
        return super().play(step)

    def wrong_count(self, rows):
        n = rows.dtype.type(len(rows))
        counts = {"samples": self.samples_seen, "channels": rows.shape[1], "places": n / self.samples_seen}
        return rows.dtype.type(counts[self.wrong])

    def counts(self, rows):
        """What the sums of the mean, and those of the variance, are divided by."""
        count = self.wrong_count(rows)
        return count, count

    def batch_statistics(self, x):
        of_mean, of_var = self.counts(x)
        mean = x.sum(axis=0) / of_mean
        return mean, ((x - mean) ** 2).sum(axis=0) / of_var


class WrongCount(_Counting):
    """Mean and variance are divided by the wrong count; the gradient is still the closed form."""


class WrongCountOfVar(_Counting):
    def counts(self, rows):
        return rows.dtype.type(len(rows)), self.wrong_count(rows)


class WrongCountOfMean(_Counting):
    def counts(self, rows):
        return self.wrong_count(rows), rows.dtype.type(len(rows))


class _OwnGradient(_Counting):
    """The gradient of mean = sum x/a, var = sum (x - mean)^2/b, as autodiff gives it."""

    def train_backward(self, dy, cache):
        _, dgamma, dbeta = super().train_backward(dy, cache)
        rows, x_hat, scale = to_rows(dy, 1), cache["x_hat"], cache["scale"]
        a, b = self.counts(rows)
        through_var = self.variance_slope(cache["var"], scale) * dgamma * (x_hat - x_hat.sum(axis=0) / a) / b
        return from_rows(self.gamma * scale * (rows - dbeta / a - through_var), dy.shape, 1), dgamma, dbeta


class WrongCountThroughout(WrongCount, _OwnGradient):
    pass


class WrongCountOfVarThroughout(WrongCountOfVar, _OwnGradient):
    pass


class WrongCountOfMeanThroughout(WrongCountOfMean, _OwnGradient):
    pass


class WrongCountInDx(_Counting):
    """y is right; the sums in dx are divided by the wrong count."""

    def batch_statistics(self, x):
        return OracleLayer.batch_statistics(self, x)

    def train_backward(self, dy, cache):
        _, dgamma, dbeta = super().train_backward(dy, cache)
        rows, scale = to_rows(dy, 1), cache["scale"]
        slope = self.variance_slope(cache["var"], scale)
        means = (dbeta + cache["x_hat"] * slope * dgamma) / self.wrong_count(rows)
        return from_rows(self.gamma * scale * (rows - means), dy.shape, 1), dgamma, dbeta


_KINDS = (
    WrongCount,
    WrongCountOfVar,
    WrongCountOfMean,
    WrongCountThroughout,
    WrongCountOfVarThroughout,
    WrongCountOfMeanThroughout,
    WrongCountInDx,
)
WRONG_COUNT = tuple(
    type(f"{kind.__name__}By{wrong.title()}", (kind,), {"wrong": wrong})
    for wrong in ("samples", "channels", "places")
    for kind in _KINDS
)


class MovingMeanBessel(OracleLayer):
    """n/(n - 1) is put on the mean that is averaged, as on the variance."""

    def update(self, mean, var, n):
        super().update(mean * (n / (n - 1)) if n > 1 else mean, var, n)


class MeanBessel(OracleLayer):
    """The batch's mean is sum/(n - 1); the variance is taken around the right mean."""

    def batch_statistics(self, x):
        mean, var = super().batch_statistics(x)
        return (mean * (len(x) / (len(x) - 1)) if len(x) > 1 else mean), var


class MeanBesselThroughout(OracleLayer):
    """The batch's mean is sum/(n - 1), and the variance is taken around that."""

    def batch_statistics(self, x):
        mean, _ = super().batch_statistics(x)
        mean = mean * (len(x) / (len(x) - 1)) if len(x) > 1 else mean
        return mean, ((x - mean) ** 2).mean(axis=0)


MEAN_BESSEL = (MovingMeanBessel, MeanBessel, MeanBesselThroughout)
