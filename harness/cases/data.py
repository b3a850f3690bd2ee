"""Generators of input data. Each takes a random generator and a shape with channels on axis 1, and returns float64."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Generator = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


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
    return np.moveaxis(rows.reshape(shape[0], *shape[2:], shape[1]), -1, 1)


def _per_channel(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(C,) -> (1, C, 1, ...), to broadcast against `shape`."""
    return values.reshape(1, -1, *[1] * (len(shape) - 2))
