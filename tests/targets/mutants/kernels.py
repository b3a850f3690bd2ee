"""What a kernel written in a hurry does: vectors, lanes and threads of it, and what it keeps."""

import numpy as np

from tests.targets.mutants.right import D2l, Flax, Torch


def rows_of(array, axis):
    """(n, C): the values of each channel in the order of the other axes."""
    return np.moveaxis(array, axis, -1).reshape(-1, array.shape[axis])


class TailOfStatistics(Torch):
    """for (i = 0; i + 4 <= n; i += 4), and no loop over the rest."""

    expected, case = "tail_skipped", "odd_batch"

    def statistics(self, x):
        rows = rows_of(x, self.axis)
        n, even = self.work.type(len(rows)), len(rows) // 4 * 4
        mean = rows[:even].sum(axis=0) / n
        return mean, np.square(rows[:even] - mean).sum(axis=0) / n


class TailOfEachImage(D2l):
    """Eight places of an image at a time, in the sums of backward."""

    expected, case = "tail_skipped", "rank4"

    def backward(self, dy, saved):
        dgamma, dbeta = self.parameter_gradients(dy, saved)
        n = self.work.type(self.count(dy))
        mean, projected = (self.along(total / n, dy) for total in (dbeta, dgamma))
        dx = self.along(self.gamma * saved["scale"], dy) * (dy - mean - saved["x_hat"] * projected)
        return dx, dgamma, dbeta

    def parameter_gradients(self, dy, saved):
        return self.total(dy * saved["x_hat"]), self.total(dy)

    def total(self, array):
        places = array.reshape(*array.shape[:2], -1)
        return places[:, :, : places.shape[2] // 8 * 8].sum(axis=(0, 2))


class LanesWithoutBetween(Flax):
    """Four lanes, whose sums of squares are added up when each is about the mean of its own."""

    expected, case = "stats_per_shard", "rank4"

    def statistics(self, x):
        rows = rows_of(x, self.axis)
        lanes = [rows[start::4] for start in range(min(4, len(rows)))]
        squares = sum(np.square(lane - lane.mean(axis=0)).sum(axis=0) for lane in lanes)
        return rows.mean(axis=0), squares / self.work.type(len(rows))


class BackwardByRunningVar(Torch):
    """The root of running_var is at hand; that of the batch is not."""

    expected, case = "train_uses_moving_stats", "rank2"

    def input_gradient(self, dy, saved):
        return super().input_gradient(dy, saved | {"scale": self.inverse_std(self.moving_var)})


class BuffersInBfloat16(Torch):
    """model.to(torch.bfloat16), and the arithmetic put back to float32."""

    expected, case = "statistics_rounded", "five_steps"
    dtypes = ("float32",)

    def __init__(self, setup):
        super().__init__(setup)
        self.moving_mean, self.moving_var = self.kept(self.moving_mean), self.kept(self.moving_var)

    def kept(self, average):
        from ml_dtypes import bfloat16

        return average.astype(bfloat16).astype(average.dtype)

    def track(self, mean, var, n):
        super().track(mean, var, n)
        self.moving_mean, self.moving_var = self.kept(self.moving_mean), self.kept(self.moving_var)


class BuffersStayFloat32(D2l):
    """float64 in and out; the buffers were not converted with the rest."""

    expected, case = "statistics_rounded", "five_steps"

    def track(self, mean, var, n):
        super().track(mean, var, n)
        self.moving_mean, self.moving_var = (
            average.astype(np.float32).astype(self.work) for average in (self.moving_mean, self.moving_var)
        )
