"""Generators of input data. Each takes a random generator and a shape with channels on axis 1, and returns float64.

A gradient is drawn once x is known: it takes x, as float64, in place of a shape.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Generator = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
Gradient = Callable[[np.random.Generator, np.ndarray], np.ndarray]


def gaussian(mean_over_std: float = 1.0, std: float = 1.0, spread: float = 1.5) -> Generator:
    """Normal values whose channels differ: standard deviations std / spread, std and std * spread in turn, and
    means of alternating sign, 1 to 1.5 times `mean_over_std` standard deviations from zero.
    """

    def make(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        channels = np.arange(shape[1])
        stds = std * spread ** (channels % 3 - 1.0)
        means = mean_over_std * stds * np.where(channels % 2, -1.0, 1.0) * rng.uniform(1.0, 1.5, shape[1])
        return _per_channel(means, shape) + _per_channel(stds, shape) * rng.standard_normal(shape)

    return make


def samples_apart(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Samples of standard deviation 1 whose own means are up to 100 from 0, another one for each channel."""
    offsets = rng.uniform(-100.0, 100.0, (*shape[:2], *[1] * (len(shape) - 2)))
    return rng.normal(0.0, 1.0, shape) + offsets


def wide_scales(low: float = 1e-3, high: float = 1e3) -> Generator:
    """Channels whose scales differ by orders of magnitude, so that a leak between channels shows at once."""

    def make(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        scales = np.geomspace(low, high, shape[1])
        return _per_channel(scales, shape) * (0.5 + rng.standard_normal(shape))

    return make


def relu_zeros(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """The output of a ReLU: about half of the values are exact zeros."""
    return np.maximum(rng.standard_normal(shape), 0.0) * 3


def with_constant_channel(value: float, channel: int = 1) -> Generator:
    """Normal values, except that one channel holds the same number everywhere."""

    def make(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        x = gaussian()(rng, shape)
        x[:, channel] = value
        return x

    return make


def with_bad_value(value: float, channel: int = 1) -> Generator:
    """Normal values, except that the first value of one channel is `value`: NaN or an infinity."""

    def make(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        x = gaussian()(rng, shape)
        x[(0, channel, *[0] * (len(shape) - 2))] = value
        return x

    return make


def exact(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Integers in pairs m + k, m - k: mean and variance are exact in any order of summation.

    Inputs whose statistics are exactly representable are oneDNN's idea (benchdnn, bnorm). The number of values
    a channel must be a power of two, so that dividing by it is exact as well; ValueError otherwise.
    """
    n = int(np.prod(shape)) // shape[1]
    if n & (n - 1):
        raise ValueError(f"exact data need a power of two values a channel, got {n}")
    rows = np.empty((n, shape[1]))
    for channel in range(shape[1]):
        offsets = 2.0 ** (rng.integers(0, 3)) * np.ones(n // 2)
        values = (3 + channel) + np.concatenate([offsets, -offsets])
        rows[:, channel] = rng.permutation(values)
    return _from_rows(rows, shape)


def _from_rows(rows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(n, C) -> an array of `shape`, channels on axis 1."""
    return np.moveaxis(rows.reshape(shape[0], *shape[2:], shape[1]), -1, 1)


def impulses(per_channel: int = 64, height: float = 64.0) -> Generator:
    """Zeros, but for as many of +height as of -height, one in each of `per_channel` blocks, the last value among them:
    the mean is 0 exactly, and a sum that skips a block is off by height/n, or by 1/per_channel of the variance.

    An addition of zero does not round, so that few values carry the error of a sum over any number.
    """

    def make(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        rows = np.zeros((int(np.prod(shape)) // shape[1], shape[1]))
        for column in rows.T:
            column[_one_in_each_block(rng, len(rows), per_channel)] = rng.permutation(
                np.resize([height, -height], per_channel)
            )
        return _from_rows(rows, shape)

    return make


def sparse_gradient(per_channel: int = 256) -> Gradient:
    """Small integers in so many places, larger where x is, and zeros elsewhere: see `impulses`."""

    def make(rng: np.random.Generator, x: np.ndarray) -> np.ndarray:
        dense = aligned_gradient(rng, x)
        rows = np.moveaxis(dense, 1, -1).reshape(-1, x.shape[1])
        kept = np.zeros_like(rows)
        for column, from_dense in zip(kept.T, rows.T, strict=True):
            places = _one_in_each_block(rng, len(rows), per_channel)
            column[places] = from_dense[places]
        return _from_rows(kept, x.shape)

    return make


def _one_in_each_block(rng: np.random.Generator, n: int, blocks: int) -> np.ndarray:
    """(blocks,) places among n, the last of them included.

    Not the first: a layer may subtract the first value from all others, which must stay small.
    """
    edges = np.linspace(0, n, blocks + 1).astype(int)
    places = rng.integers(np.maximum(edges[:-1], 1), edges[1:])
    places[-1] = n - 1
    return places


def signs(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """As many of 1 as of -1: mean 0 and variance 1, exactly and in any order of summation. ValueError for an odd n."""
    n = int(np.prod(shape)) // shape[1]
    if n % 2:
        raise ValueError(f"as many of 1 as of -1 need an even number of values a channel, got {n}")
    return _from_rows(rng.permuted(np.resize([1.0, -1.0], (shape[1], n)), axis=1).T, shape)


def two_sided(mean: float) -> Generator:
    """mean + 1 and mean - 1 in turn, the order at random: standard deviation 1."""

    def make(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return mean + signs(rng, shape)

    return make


def aligned_gradient(rng: np.random.Generator, x: np.ndarray) -> np.ndarray:
    """Small integers, larger where x is, and 0 where x is 0: no mean of dy, or of dy * x_hat, vanishes."""
    return np.where(x == 0, 0.0, rng.integers(1, 4, x.shape) + 2.0 * (x > 0))


def leaning_gradient(rng: np.random.Generator, x: np.ndarray) -> np.ndarray:
    """Normal values about 1 that lean towards x, so that over however many values dx's two means stay of size 1."""
    axes = (0, *range(2, x.ndim))
    centred = x - x.mean(axis=axes, keepdims=True)
    return 1 + centred / centred.std(axis=axes, keepdims=True) + 0.25 * rng.standard_normal(x.shape)


def random_gradient(rng: np.random.Generator, x: np.ndarray) -> np.ndarray:
    """Normal values about 0.25, so that no sum of theirs vanishes."""
    return rng.standard_normal(x.shape) + 0.25


def same_for_all_samples(rng: np.random.Generator, x: np.ndarray) -> np.ndarray:
    """One sample's gradient, repeated: what a mean over the batch sends back."""
    return np.broadcast_to(random_gradient(rng, x[:1]), x.shape)


def _per_channel(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(C,) -> (1, C, 1, ...), to broadcast against `shape`."""
    return values.reshape(1, -1, *[1] * (len(shape) - 2))
