"""Batch normalization (Ioffe and Szegedy 2015) in NumPy: the formula as one would teach it, then a layer with forward,
backward and moving statistics.

One formula for any float dtype: the arithmetic runs in the dtype of x, so the same lines serve as the implementation
`numpy` (float32, float64) and, run in extended precision, as the oracle.
"""

from __future__ import annotations

from functools import cache, lru_cache
from math import prod

import numpy as np

from reference.conventions import D2L, Conventions

RANKS = (2, 3, 4, 5)


def plain_batch_norm(
    x: np.ndarray,
    gamma: np.ndarray,
    beta: np.ndarray,
    moving_mean: np.ndarray,
    moving_var: np.ndarray,
    eps: float,
    momentum: float,
    *,
    training: bool,
    conventions: Conventions = D2L,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(y, moving_mean, moving_var) by the plain two-pass formula, in x's dtype.

    x: rank 2 to 5, channels at `conventions.channel_axis`, at least one value per channel; the rest (C,). (C*) in the
    comments is (C,) with size 1 on every other axis of x, so that it broadcasts. Debiasing takes a count of updates
    and is left to `BatchNorm`.
    """
    axes = tuple(axis for axis in range(x.ndim) if axis != conventions.channel_axis % x.ndim)  # all but the channels'
    shape = [1 if axis in axes else size for axis, size in enumerate(x.shape)]  # the sizes of (C*)
    if training:
        mean = x.mean(axes, keepdims=True)  # (C*)
        var = ((x - mean) ** 2).mean(axes, keepdims=True)  # (C*): sum/n, biased
    else:
        mean, var = moving_mean.reshape(shape), moving_var.reshape(shape)  # (C*), (C*)
    if conventions.eps_at == "inside_sqrt":
        x_hat = (x - mean) / np.sqrt(var + eps)  # x's shape
    else:
        x_hat = (x - mean) / (np.sqrt(var) + eps)  # x's shape
    y = gamma.reshape(shape) * x_hat + beta.reshape(shape)  # x's shape
    if training:
        n = x.size // len(gamma)  # values per channel
        averaged = var * n / (n - 1) if conventions.moving_var == "unbiased" else var  # (C*)
        keep = momentum if conventions.momentum == "keep" else 1 - momentum  # the weight of the old value
        moving_mean = keep * moving_mean + (1 - keep) * mean.reshape(-1)  # (C,)
        moving_var = keep * moving_var + (1 - keep) * averaged.reshape(-1)  # (C,)
    return y, moving_mean, moving_var


class BatchNorm:
    """A batch-norm layer with its parameters and moving statistics.

    gamma, beta, moving_mean, moving_var: shape (C,). x: rank 2 to 5, channels at `conventions.channel_axis`.
    The parameters' dtype is kept; x of another dtype is promoted against it by NumPy's rules. Inside, x has shape
    (n, C): one row a value, one column a channel; `to_rows` and `from_rows` alone know about ranks and channel axes.

    `train` and `eval` return (y, cache); the two backward methods take (dy, cache) and return
    (dx, dgamma, dbeta). Each method below is one line of the paper's Algorithm 1, or its derivative.

    Raises ValueError for fewer than one channel, TypeError for a dtype that is not floating-point; the methods
    raise as `checked_rows` does, and `train` ValueError for one value per channel where `single_value` is "error".
    """

    def __init__(
        self,
        num_features: int,
        eps: float | None = None,
        momentum: float | None = None,
        conventions: Conventions = D2L,
        dtype: np.typing.DTypeLike = np.float64,
    ) -> None:
        if num_features < 1:
            raise ValueError(f"num_features must be at least 1, got {num_features}")
        if not _is_float(np.dtype(dtype)):
            raise TypeError(f"dtype must be a floating-point type, got {np.dtype(dtype)}")
        self.num_features = num_features
        self.eps = conventions.default_eps if eps is None else eps
        self.momentum = conventions.default_momentum if momentum is None else momentum
        self.conventions = conventions
        self.gamma = np.ones(num_features, dtype)  # (C,)
        self.beta = np.zeros(num_features, dtype)  # (C,)
        self.average_mean = np.zeros(num_features, dtype)  # (C,)
        self.average_var = np.ones(num_features, dtype)  # (C,)
        self.updates = 0

    # --- forward ---

    def train(self, x: np.ndarray) -> tuple[np.ndarray, dict]:
        """A training step: normalize by the batch's own statistics and update the moving ones."""
        rows = self.checked_rows(x)  # (n, C)
        if len(rows) == 1 and self.conventions.single_value == "error":
            raise ValueError(f"batch norm in training needs more than one value per channel, got x of shape {x.shape}")
        if len(rows) == 0:  # an empty batch has no statistics: the moving ones stay as they are
            mean, var = self.average_mean, self.average_var  # (C,), (C,)
        else:
            mean, var = self.batch_statistics(rows)  # (C,), (C,)
            self.update(mean, var, len(rows))
        y, cache = self.normalize(rows, mean, var)  # (n, C)
        return from_rows(y, x.shape, self.conventions.channel_axis), cache

    def eval(self, x: np.ndarray) -> tuple[np.ndarray, dict]:
        """Prediction: normalize by the moving statistics, which stay as they are."""
        rows = self.checked_rows(x)  # (n, C)
        y, cache = self.normalize(rows, self.moving_mean, self.moving_var)  # (n, C)
        return from_rows(y, x.shape, self.conventions.channel_axis), cache

    def batch_statistics(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Two passes: the mean, then the average squared deviation from it (biased)."""
        n = x.dtype.type(len(x))
        mean = self.total(x) / n  # (C,)
        var = self.total((x - mean) ** 2) / n  # (C,)
        return mean, var

    def total(self, rows: np.ndarray) -> np.ndarray:
        """Every sum over the values of a channel."""
        return add_in_pairs(rows)  # (C,)

    def normalize(self, x: np.ndarray, mean: np.ndarray, var: np.ndarray) -> tuple[np.ndarray, dict]:
        """y of rows x (n, C) by the statistics (C,), and what the backward methods need."""
        scale = self.inverse_std(var)  # (C,)
        x_hat = (x - mean) * scale  # (n, C)
        y = self.gamma * x_hat + self.beta  # (n, C)
        return y, {"x_hat": x_hat, "scale": scale, "var": var}

    def inverse_std(self, var: np.ndarray) -> np.ndarray:
        """1 / the standard deviation, with eps where the conventions put it."""
        eps = var.dtype.type(self.eps)
        if self.conventions.eps_at == "inside_sqrt":
            return 1 / np.sqrt(var + eps)  # (C,)
        return 1 / (np.sqrt(var) + eps)  # (C,)

    # --- moving statistics ---

    def update(self, mean: np.ndarray, var: np.ndarray, n: int) -> None:
        """moving = keep_weight * moving + new_weight * batch, for the mean and for the variance."""
        if self.conventions.moving_var == "unbiased":
            var = var * (var.dtype.type(n) / var.dtype.type(n - 1)) if n > 1 else np.full_like(var, np.nan)
        keep, new = self.weights()
        self.average_mean = keep * self.average_mean + new * mean  # (C,)
        self.average_var = keep * self.average_var + new * var  # (C,)
        self.updates += 1

    def weights(self) -> tuple[np.floating, np.floating]:
        """(weight of the old value, weight of the new), each from the very number that was given."""
        momentum = self.average_mean.dtype.type(self.momentum)
        rest = momentum.dtype.type(1) - momentum
        return (momentum, rest) if self.conventions.momentum == "keep" else (rest, momentum)

    @property
    def moving_mean(self) -> np.ndarray:
        return self.debiased(self.average_mean)  # (C,)

    @property
    def moving_var(self) -> np.ndarray:
        return self.debiased(self.average_var)  # (C,)

    def debiased(self, average: np.ndarray) -> np.ndarray:
        """Kingma and Ba 2015, section 3: divide by 1 - keep_weight^t. Before any update: as it is."""
        if not self.conventions.debias or self.updates == 0:
            return average
        keep, _ = self.weights()
        return average / (1 - keep**self.updates)  # (C,)

    # --- backward ---

    def train_backward(self, dy: np.ndarray, cache: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The gradients of sum(y * dy) with mean and var as functions of x (the paper's section 3)."""
        rows = self.checked_rows(dy)  # (n, C)
        n = rows.dtype.type(max(1, len(rows)))  # of an empty batch every sum is 0
        x_hat, scale = cache["x_hat"], cache["scale"]
        dgamma = self.total(rows * x_hat)  # (C,)
        dbeta = self.total(rows)  # (C,)
        slope = self.variance_slope(cache["var"], scale)  # (C,) or 1
        dx = self.gamma * scale * (rows - dbeta / n - x_hat * (slope * dgamma / n))  # (n, C)
        return from_rows(dx, dy.shape, self.conventions.channel_axis), dgamma, dbeta

    def variance_slope(self, var: np.ndarray, scale: np.ndarray) -> np.ndarray | float:
        """How the scale depends on var, relative to the -scale^3/2 that the closed form assumes.

        With eps outside the root, d scale/d var = -scale^2/(2 sqrt(var)): a factor 1/(scale sqrt(var)).
        A constant channel (var = 0) has x_hat = 0 and takes no slope.
        """
        if self.conventions.eps_at == "inside_sqrt":
            return 1.0
        std = np.sqrt(var)  # (C,)
        return np.divide(1, scale * std, out=np.zeros_like(std), where=std > 0)  # (C,)

    def eval_backward(self, dy: np.ndarray, cache: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The gradients in prediction, where the statistics are constants."""
        rows = self.checked_rows(dy)  # (n, C)
        dgamma = self.total(rows * cache["x_hat"])  # (C,)
        dbeta = self.total(rows)  # (C,)
        dx = self.gamma * cache["scale"] * rows  # (n, C)
        return from_rows(dx, dy.shape, self.conventions.channel_axis), dgamma, dbeta

    # --- what is accepted ---

    def checked_rows(self, x: np.ndarray) -> np.ndarray:
        """x as (n, C) rows. Raises TypeError for a non-float dtype, ValueError for a wrong rank or channel count."""
        x = np.asarray(x)
        if not _is_float(x.dtype):
            raise TypeError(f"batch norm takes floating-point input, got {x.dtype}; convert x first")
        if x.ndim not in RANKS:
            raise ValueError(f"batch norm takes inputs of rank 2 to 5, got rank {x.ndim} (shape {x.shape})")
        axis = self.conventions.channel_axis
        if x.shape[axis] != self.num_features:
            raise ValueError(
                f"batch norm for {self.num_features} channels got {x.shape[axis]} on axis {axis} "
                f"(shape {x.shape}); is the channel axis where you think it is?"
            )
        return to_rows(x, axis)


def batch_norm(x, gamma, beta, moving_mean, moving_var, eps, momentum, *, training, conventions=D2L):
    """(y, moving_mean, moving_var) by `BatchNorm`, which says what is raised. The inputs are not modified."""
    layer = BatchNorm(len(gamma), eps, momentum, conventions, gamma.dtype)
    layer.gamma, layer.beta = gamma, beta
    layer.average_mean, layer.average_var = moving_mean, moving_var
    y, _ = layer.train(x) if training else layer.eval(x)
    return y, layer.moving_mean, layer.moving_var


def add_in_pairs(rows: np.ndarray) -> np.ndarray:
    """(n, C) -> (C,): neighbouring rows are added first, then neighbouring sums, and so on.

    Pairwise summation (Higham 2002, section 4.1): no value takes part in more than log2 n additions, rounded up, where
    in a plain loop, which NumPy's sum is along the first axis, the first takes part in n - 1.
    """
    while len(rows) > 1:
        even = len(rows) // 2 * 2
        pairs = rows[0:even:2] + rows[1:even:2]  # (n // 2, C)
        rows = np.concatenate([pairs, rows[even:]])  # an odd last row is left over
    return rows.sum(axis=0)  # the one row that remains, or the zeros of an empty batch


def to_rows(x: np.ndarray, channel_axis: int) -> np.ndarray:
    """(N, C, ...) or (N, ..., C) -> (n, C) with n = N * the spatial sizes."""
    last = x.transpose(channels_last(x.ndim, channel_axis))  # (N, ..., C)
    return last.reshape(prod(last.shape[:-1]), last.shape[-1])  # (n, C)


def from_rows(rows: np.ndarray, shape: tuple[int, ...], channel_axis: int) -> np.ndarray:
    """(n, C) -> an array of `shape`, the inverse of `to_rows`."""
    last, back = _with_channels_last(tuple(shape), channel_axis)
    return rows.reshape(last).transpose(back)  # (N, ..., C), then shape


@cache
def channels_last(rank: int, channel_axis: int) -> tuple[int, ...]:
    """The axes in the order that puts the channels last. np.moveaxis, which works it out each time, is slower."""
    axes = list(range(rank))
    axes.append(axes.pop(channel_axis))
    return tuple(axes)


@lru_cache(1024)
def _with_channels_last(shape: tuple[int, ...], channel_axis: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(the shape with its channels last, the order of axes that puts them back)"""
    order = channels_last(len(shape), channel_axis)
    return tuple(shape[axis] for axis in order), tuple(order.index(axis) for axis in range(len(shape)))


@cache
def _is_float(dtype: np.dtype) -> bool:
    """True for NumPy's floats and for bfloat16 and the like, which NumPy itself does not call floating."""
    return np.issubdtype(dtype, np.floating) or dtype.name.startswith(("bfloat", "float"))
