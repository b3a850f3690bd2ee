"""The options of a batch norm over the plain layer: no moving statistics, their plain average, a mask, a frozen layer.

A layer without gamma or beta is one whose gamma is 1 or whose beta is 0: neither product nor sum rounds then.
"""

from __future__ import annotations

import numpy as np

from reference.batch_norm import BatchNorm, from_rows, to_rows


class BatchNormWithOptions(BatchNorm):
    """`BatchNorm` with two settings, and with masks, booleans of x's shape without the channel axis.

    An element that does not count takes no part in mean and variance. It is normalized like the others, so that its
    dy reaches gamma, beta and, by way of mean and variance, the x of the elements that count.
    """

    keeps_statistics = True
    """False: there are no moving statistics, and prediction normalizes by the batch's own, as training does."""
    cumulative = False
    """True: the moving statistics are the average over all batches, whatever `momentum` is."""

    def weights(self) -> tuple[np.floating, np.floating]:
        """(weight of the old value, weight of the new): 1 - 1/t and 1/t for the t-th batch of a cumulative average."""
        if not self.cumulative:
            return super().weights()
        one = self.average_mean.dtype.type(1)
        new = one / one.dtype.type(self.updates + 1)
        return one - new, new

    def debiased(self, average: np.ndarray) -> np.ndarray:
        """A plain average over all batches has no start to be freed of."""
        return average if self.cumulative else super().debiased(average)  # (C,)

    def update(self, mean: np.ndarray, var: np.ndarray, n: int) -> None:
        if self.keeps_statistics:
            super().update(mean, var, n)

    def eval(self, x: np.ndarray) -> tuple[np.ndarray, dict]:
        return super().eval(x) if self.keeps_statistics else self.train(x)

    def eval_backward(self, dy: np.ndarray, cache: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return super().eval_backward(dy, cache) if self.keeps_statistics else self.train_backward(dy, cache)

    # --- masks ---

    def masked_train(self, x: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, dict]:
        """A training step on the elements where `mask` is True. Where none is, the moving statistics stay."""
        rows, counts = (
            self.checked_rows(x),
            rows_of_mask(mask, x.shape, self.conventions.channel_axis),
        )  # (n, C), (n, 1)
        n = int(counts.sum())  # how many values of a channel count
        if n == 0:
            mean, var = self.average_mean, self.average_var  # (C,), (C,)
        else:
            mean = self.total(np.where(counts, rows, 0)) / rows.dtype.type(n)  # (C,)
            var = self.total(np.where(counts, (rows - mean) ** 2, 0)) / rows.dtype.type(n)  # (C,)
            self.update(mean, var, n)
        y, cache = self.normalize(rows, mean, var)  # (n, C)
        return from_rows(y, x.shape, self.conventions.channel_axis), cache | {"counts": counts}

    def masked_train_backward(self, dy: np.ndarray, cache: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The gradients of sum(y * dy): as without a mask, but mean and variance are functions of what counts alone."""
        rows, counts = self.checked_rows(dy), cache["counts"]  # (n, C), (n, 1)
        n = rows.dtype.type(max(1, int(counts.sum())))
        x_hat, scale = cache["x_hat"], cache["scale"]
        dgamma, dbeta = self.total(np.where(rows == 0, 0, rows * x_hat)), self.total(rows)  # (C,), (C,)
        slope = self.variance_slope(cache["var"], scale)  # (C,) or 1
        through_statistics = dbeta / n + x_hat * (slope * dgamma / n)  # (n, C)
        dx = self.gamma * scale * (rows - np.where(counts, through_statistics, 0))  # (n, C)
        return from_rows(dx, dy.shape, self.conventions.channel_axis), dgamma, dbeta


def rows_of_mask(mask: np.ndarray, shape: tuple[int, ...], channel_axis: int) -> np.ndarray:
    """(n, 1) booleans, a row for each row of x. mask: x's shape without the channel axis, or what broadcasts to it.

    Raises ValueError for a mask that does not.
    """
    without_channels = list(shape)
    without_channels.pop(channel_axis)
    try:
        whole = np.broadcast_to(mask, without_channels)
    except ValueError as error:
        raise ValueError(f"a mask for x of shape {shape} has {tuple(without_channels)}, got {mask.shape}") from error
    return to_rows(np.expand_dims(whole, channel_axis), channel_axis)
