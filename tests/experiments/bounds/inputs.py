"""Random inputs for the experiment on the error bounds: what networks see, and worse.

`SHAPES` and `COTANGENTS` are drawn evenly: normal, rectified, on a lattice, nearly constant, sorted, with an outlier.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Batch:
    """C one-channel cases of the same n. Arrays are exact numbers of `dtype`."""

    dtype: str
    x: Array  # (n, C)
    dy: Array  # (n, C)
    gamma: Array  # (C,)
    beta: Array  # (C,)
    moving_mean: Array  # (C,)
    moving_var: Array  # (C,)
    eps: float
    keep: float
    unbiased: bool


def random_batch(rng: np.random.Generator, dtype: str, channels: int, max_n: int = 1024) -> Batch:
    n = int(np.exp(rng.uniform(np.log(2), np.log(max_n + 1))))
    T = np.dtype(dtype).type
    std, kappa = 10 ** rng.uniform(-3, 3, channels), 10 ** rng.uniform(0, 6, channels)
    x = np.empty((n, channels))
    for i, kind in enumerate(rng.integers(len(SHAPES), size=channels)):
        x[:, i] = SHAPES[kind](rng, n, std[i], kappa[i])
    x = x.astype(T)
    dy = np.empty((n, channels))
    size = 10 ** rng.uniform(-3, 3, channels)
    for i, kind in enumerate(rng.integers(len(COTANGENTS), size=channels)):
        dy[:, i] = size[i] * COTANGENTS[kind](rng, x[:, i].astype(np.float64))
    gamma, beta = rng.normal(size=(2, channels)) * 10 ** rng.uniform(-1, 1, (2, channels))
    gamma[rng.random(channels) < 0.1] = 1
    beta[rng.random(channels) < 0.1] = 0
    moving_mean = std * (kappa + rng.normal(size=channels))
    moving_var = std**2 * rng.uniform(0.2, 3, channels)
    return Batch(
        dtype, x, dy.astype(T), gamma.astype(T), beta.astype(T), moving_mean.astype(T), moving_var.astype(T),
        float(10 ** rng.uniform(-8, -1)), float(rng.choice([0.1, 0.5, 0.9, 0.99])), bool(rng.random() < 0.5),
    )  # fmt: skip


def _lattice(rng: np.random.Generator, n: int, std: float, kappa: float) -> Array:
    """Few values, an exact offset: every rounding is systematic."""
    step = 2.0 ** np.round(np.log2(std))
    return step * (np.round(kappa * 8) / 8 + rng.integers(0, rng.choice([2, 3, 5, 17, 1000]), n) / 8)


def _near_constant(rng: np.random.Generator, n: int, std: float, kappa: float) -> Array:
    return std * kappa * (1 + rng.integers(-2, 3, n) * 2.0 ** -float(rng.choice([23, 52])))


def _few_levels(rng: np.random.Generator, n: int, std: float, kappa: float) -> Array:
    """Flat areas, one after the other."""
    return std * (kappa + rng.normal(size=6)[np.sort(rng.integers(0, rng.integers(2, 7), n))])


def _periodic(rng: np.random.Generator, n: int, std: float, kappa: float) -> Array:
    """A gradient that starts over, row by row."""
    width = rng.integers(2, 33)
    return std * (kappa + 3.4 * (np.arange(n) % width) / width)


def _geometric(rng: np.random.Generator, n: int, std: float, kappa: float) -> Array:
    """Many binades in one channel."""
    return std * (rng.choice([0.0, kappa]) + np.geomspace(1, 1e-6, n)[:: rng.choice([-1, 1])])


def _outlier(rng: np.random.Generator, n: int, std: float, kappa: float) -> Array:
    x = std * (kappa + rng.normal(size=n))
    x[rng.integers(n)] += std * np.sqrt(n) * 100
    return x


SHAPES = (
    lambda rng, n, std, kappa: std * (kappa + rng.normal(size=n)),
    lambda rng, n, std, kappa: -std * (kappa + rng.uniform(-1.7, 1.7, n)),
    lambda rng, n, std, _kappa: std * np.maximum(rng.normal(size=n) + rng.uniform(-1, 1), 0),
    lambda rng, n, std, kappa: std * (kappa + np.maximum(rng.normal(size=n), 0)),
    _lattice,
    lambda rng, n, std, kappa: np.sort(_lattice(rng, n, std, kappa)),
    lambda _rng, n, std, kappa: np.full(n, std * kappa),
    _near_constant,
    lambda rng, n, std, kappa: np.sort(std * (kappa + rng.normal(size=n))),
    lambda rng, n, std, kappa: np.sort(std * (kappa + rng.uniform(-1.7, 1.7, n)))[::-1],
    lambda _rng, n, std, kappa: std * (kappa + np.linspace(-1.7, 1.7, n)),
    _few_levels,
    _periodic,
    _geometric,
    _outlier,
)


def _like_xh(rng: np.random.Generator, x: Array) -> Array:
    d = x - x.mean()
    return np.asarray(d / max(float(np.abs(d).max()), 1e-300) + rng.choice([0.0, 1e-3, 1.0, 30.0]))


def _one_hot(rng: np.random.Generator, x: Array) -> Array:
    dy = np.zeros(len(x))
    dy[rng.integers(len(x))] = 1
    return dy


COTANGENTS = (
    lambda rng, x: rng.normal(size=len(x)),
    lambda rng, x: rng.normal(size=len(x)) + 3,
    lambda _rng, x: np.ones(len(x)),
    _like_xh,
    _one_hot,
    lambda rng, x: rng.choice([-1.0, 1.0], len(x)),
    lambda rng, x: rng.integers(0, 5, len(x)) / 4,
    lambda rng, x: rng.uniform(0, 1, len(x)) * (rng.random(len(x)) < 0.5),
    lambda rng, x: np.sort(rng.normal(size=len(x))),
    lambda rng, x: rng.choice([0.0, 1.0, 30.0]) + np.linspace(-1, 1, len(x)),
    lambda rng, x: np.sign(x - np.median(x)) + rng.choice([0.0, 0.25]),
)
