"""Wrong for many values a channel alone: blocks, tails and counts that small batches do not have."""

import numpy as np

from tests.targets.mutants.right import D2l

BLOCK = 1024


class TailNotSummed(D2l):
    """The statistics leave out what is left over from whole blocks of 1,024 values."""

    expected, case = "unexplained", "values_1537"

    def statistics(self, x):
        rows = np.moveaxis(x, self.axis, -1).reshape(-1, x.shape[self.axis])
        whole = len(rows) - len(rows) % BLOCK if len(rows) > BLOCK else len(rows)
        mean = rows[:whole].sum(axis=0) / self.work.type(len(rows))
        return mean, np.square(rows[:whole] - mean).sum(axis=0) / self.work.type(len(rows))


class TailNotWritten(D2l):
    """The last value of y beyond whole blocks of 1,024 stays 0."""

    expected, case = "unexplained", "values_65537"

    def output(self, x_hat):
        y = super().output(x_hat)
        if len(y) > BLOCK and len(y) % BLOCK:
            y[len(y) - len(y) % BLOCK :] = 0
        return y


class BlockLost(D2l):
    """From 65,536 values on, a sum is split into 64 parts, and the last of them is lost."""

    expected, case = "unexplained", "values_65536"

    def parameter_gradients(self, dy, saved):
        if self.count(dy) < 2**16:
            return super().parameter_gradients(dy, saved)
        rows, x_hat = (np.moveaxis(a, self.axis, -1).reshape(-1, dy.shape[self.axis]) for a in (dy, saved["x_hat"]))
        kept = len(rows) // 64 * 63
        return (rows * x_hat)[:kept].sum(axis=0), rows[:kept].sum(axis=0)


class BlockOfVarianceLost(D2l):
    """From 65,536 values on, the sum of squares is split into 8 parts, and one of them is lost."""

    expected, case = "unexplained", "values_401408"

    def statistics(self, x):
        mean, var = super().statistics(x)
        if self.count(x) < 2**16:
            return mean, var
        rows = np.moveaxis(x, self.axis, -1).reshape(-1, x.shape[self.axis])
        part = len(rows) // 8
        return mean, var - np.square(rows[5 * part : 6 * part] - mean).sum(axis=0) / self.work.type(len(rows))


class UnbiasedBeyondABlock(D2l):
    """A kernel for more than 1,024 values divides the variance that it normalizes by, by n - 1."""

    expected, case = "unexplained", "values_1025"

    def statistics(self, x):
        mean, var = super().statistics(x)
        n = self.count(x)
        return mean, var * self.work.type(n / (n - 1)) if n > BLOCK else var


class NothingBeyondTwoBytes(D2l):
    """The output of more than 65,535 values a channel is never written: a count of 16 bits is 0."""

    expected, case = "unexplained", "values_65536"

    def output(self, x_hat):
        y = super().output(x_hat)
        return np.zeros_like(y) if self.count(x_hat) > 65_535 else y
