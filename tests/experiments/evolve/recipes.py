"""Data on which roundings add up: (n, C) float64 arrays, every channel with numbers of its own."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Rng = np.random.Generator
Recipe = Callable[[Rng, int, int], Array]


def normal(rng: Rng, n: int, channels: int) -> Array:
    return rng.normal(size=(n, channels))


def uniform(rng: Rng, n: int, channels: int) -> Array:
    return rng.uniform(-1.7, 1.7, (n, channels))


def rectified(rng: Rng, n: int, channels: int) -> Array:
    return np.maximum(rng.normal(size=(n, channels)) + rng.uniform(-1, 1, channels), 0)


def stripes(rng: Rng, n: int, channels: int) -> Array:
    """Values that alternate with a short period, and a little noise: lanes of vector code see different means."""
    period = rng.choice([2, 2, 2, 3, 4, 8, 16, 32], channels)
    place = np.arange(n)[:, None] % period
    levels = rng.normal(size=(32, channels))
    levels[0], levels[1] = 1, -1
    return levels[place, np.arange(channels)] + rng.choice([0, 0.01, 0.1, 0.3, 1], channels) * normal(rng, n, channels)


def blocks(rng: Rng, n: int, channels: int) -> Array:
    """Flat areas, one after the other."""
    count = rng.integers(2, 9, channels)
    place = np.minimum(np.arange(n)[:, None] * count // n, 8)
    levels = rng.normal(size=(9, channels))
    return levels[place, np.arange(channels)] + rng.choice([0, 0, 0.01, 0.3], channels) * normal(rng, n, channels)


def binades(rng: Rng, n: int, channels: int) -> Array:
    """Many binades in one channel, rising or falling, of one sign or of both."""
    exponent = np.linspace(0, 1, n)[:, None] * rng.uniform(-30, 3, channels)
    sign = np.where(rng.random(channels) < 0.5, 1, rng.choice([-1, 1], (n, channels)))
    return sign * 2.0**exponent * np.where(rng.random(channels) < 0.5, 1, rng.uniform(1, 2, (n, channels)))


def ramp(rng: Rng, n: int, channels: int) -> Array:
    """Equal increments, in whole last places or not."""
    step = rng.choice([1, 1, 1 / 3, 0.1, 1.25], channels) * 2.0 ** rng.integers(-24, 3, channels)
    return step * (np.arange(n)[:, None] + rng.choice([0, 1, 0.5, -n / 2], channels))


def periodic_ramp(rng: Rng, n: int, channels: int) -> Array:
    width = rng.integers(2, 65, channels)
    return 3.4 * (np.arange(n)[:, None] % width) / width


def in_order(rng: Rng, n: int, channels: int) -> Array:
    values = np.sort(normal(rng, n, channels), axis=0)
    return np.where(rng.random(channels) < 0.5, values, values[::-1])


def pixels(rng: Rng, n: int, channels: int) -> Array:
    """Bytes over 255, in few or many levels."""
    return rng.integers(0, rng.choice([2, 4, 256], channels), (n, channels)) / 255


def lattice(rng: Rng, n: int, channels: int) -> Array:
    levels = rng.choice([2, 3, 5, 17, 1000], channels)
    return (rng.integers(0, 1_000_000, channels) / 3 * (rng.random(channels) < 0.3)) + rng.integers(
        0, levels, (n, channels)
    ) / rng.choice([1, 3, 8, 10], channels)


def outliers_first(rng: Rng, n: int, channels: int) -> Array:
    """The first value, or the last, far from all others."""
    values = normal(rng, n, channels)
    row = np.where(rng.random(channels) < 0.7, 0, n - 1)
    values[row, np.arange(channels)] += 10 ** rng.uniform(1, 5, channels)
    return values


def nearly_constant(rng: Rng, n: int, channels: int) -> Array:
    """1 and its neighbours."""
    unit = 2.0 ** -rng.choice([23, 22, 20, 12, 52], channels)
    return 1 + unit * rng.integers(-2, 3, (n, channels))


def constant(rng: Rng, n: int, channels: int) -> Array:
    return np.broadcast_to(rng.choice([0.1, 1, 1 / 3, 7.3], channels), (n, channels)).copy()


def one_hot(rng: Rng, n: int, channels: int) -> Array:
    values = np.zeros((n, channels))
    values[rng.integers(0, n, channels), np.arange(channels)] = 1
    return values


def opposite_pairs(rng: Rng, n: int, channels: int) -> Array:
    """Large values that cancel, small ones that remain."""
    values = normal(rng, n, channels) * 10 ** rng.uniform(0, 6, channels)
    values[1::2] = -values[: n // 2 * 2 : 2]
    return values + normal(rng, n, channels)


def all_round_alike(rng: Rng, n: int, channels: int, digits: int = 24) -> Array:
    """Terms whose plain sum rounds the same way at each step: whole last places and a residue of 1/4, 1/2 or 3/4.

    The whole places are the same in all rows of a channel, or differ; the terms are of one sign, or of both.
    """
    residue = rng.choice([0.25, 0.5, 0.75, 0.4999, 0.5001], channels)
    largest = rng.choice([0, 0, 1, 5, 1000, 2.0**23 / n], channels)
    whole = np.rint(largest * np.where(rng.random(channels) < 0.5, 1, rng.random((n, channels))))
    both_signs = rng.random(channels) < 0.3
    values = np.empty((n, channels))
    values[0] = total = rng.choice([1, 1.5, 1.999, 1.2345], channels)
    for k in range(1, n):
        last_place = 2.0 ** (np.floor(np.log2(np.maximum(np.abs(total), 1e-3))) + 1 - digits)
        steps = np.where(both_signs & (k % 2 == 0), residue - whole[k] - 1, residue + whole[k])
        values[k] = last_place * steps
        total = last_place * np.rint((total + values[k]) / last_place)
    return values


def running_mean_rounds_alike(rng: Rng, n: int, channels: int, digits: int = 24) -> Array:
    """Welford's mean moves by the same fraction of its last place, or of a few, at each step."""
    residue = rng.choice([0.25, 0.5, 0.75, 0.4999, 0.5001], channels)
    whole = rng.choice([0, 0, 1, 3, 100], channels)
    values = np.empty((n, channels))
    values[0] = mean = rng.choice([1, 1.5, 1.999, 1.2345], channels)
    for k in range(2, n + 1):
        last_place = 2.0 ** (np.floor(np.log2(np.abs(mean))) + 1 - digits)
        values[k - 1] = mean + k * last_place * (whole + residue)
        mean = last_place * np.rint((mean + last_place * (whole + residue)) / last_place)
    return values


DEVIATIONS: dict[str, Recipe] = {
    f.__name__: f
    for f in (
        normal, uniform, rectified, stripes, blocks, binades, ramp, periodic_ramp, in_order, pixels, lattice,
        outliers_first, opposite_pairs, one_hot,
    )
}  # fmt: skip
"""Around zero and of size about 1: a mean and a size are given to them."""

WHOLE: dict[str, Recipe] = {
    f.__name__: f for f in (nearly_constant, constant, pixels, all_round_alike, running_mean_rounds_alike)
}
"""With a mean of their own, that must not be changed except by powers of two."""


def data(rng: Rng, name: str, n: int, channels: int) -> Array:
    """x by a recipe, at a size and a distance from zero of its own in each channel."""
    if name in WHOLE and rng.random() < 0.8:
        return WHOLE[name](rng, n, channels) * 2.0 ** rng.choice([0, 0, 0, -3, 10, -40, 40], channels)
    values = (DEVIATIONS.get(name) or WHOLE[name])(rng, n, channels)
    std = 10 ** np.where(rng.random(channels) < 0.9, rng.uniform(-3, 3, channels), rng.choice([14, -18, -12, 8, -38]))
    kappa = np.where(rng.random(channels) < 0.3, 0, 10 ** rng.uniform(-1, 5, channels)) * rng.choice([-1, 1], channels)
    exact = rng.random(channels) < 0.3  # stay on the grid
    kappa, std = np.where(exact, np.rint(kappa), kappa), np.where(exact, 2.0 ** np.rint(np.log2(std)), std)
    return std * (kappa + values)


def cotangent(rng: Rng, name: str, x: Array) -> Array:
    """dy for x (n, C), by a recipe of the deviations, or by one that looks at x."""
    n, channels = x.shape
    size = np.where(
        rng.random(channels) < 0.5, 2.0 ** rng.integers(-8, 9, channels), 10 ** rng.uniform(-3, 3, channels)
    )
    size = np.where(rng.random(channels) < 0.03, 10 ** rng.uniform(-30, 10, channels), size)
    return size * (OF_X[name](rng, x) if name in OF_X else (DEVIATIONS | WHOLE)[name](rng, n, channels))


def _normalized(x: Array) -> Array:
    d = x - x.mean(axis=0)
    with np.errstate(all="ignore"):
        return np.nan_to_num(d / np.sqrt(np.mean(d * d, axis=0)), nan=0.0, posinf=0.0, neginf=0.0)


def like_xh(rng: Rng, x: Array) -> Array:
    return _normalized(x) + rng.choice([0.0, 0.0, 1e-3, 1.0, 30.0], x.shape[1])


def one_over_xh(rng: Rng, x: Array) -> Array:
    """dy xh are terms that all round alike."""
    xh = _normalized(x)
    return all_round_alike(rng, *x.shape) / np.where(np.abs(xh) > 1e-3, xh, 1)


def signs_of_xh(rng: Rng, x: Array) -> Array:
    return np.sign(_normalized(x)) + rng.choice([0, 0.25, 1], x.shape[1])


def offset(rng: Rng, x: Array) -> Array:
    return rng.normal(size=x.shape) + 10 ** rng.uniform(0, 4, x.shape[1])


def around_one(rng: Rng, x: Array) -> Array:
    return 1 + rng.normal(size=x.shape) * 10 ** rng.uniform(-7, -1, x.shape[1])


OF_X: dict[str, Callable[[Rng, Array], Array]] = {
    f.__name__: f for f in (like_xh, one_over_xh, signs_of_xh, offset, around_one)
}

FOR_X = tuple(dict.fromkeys([*DEVIATIONS, *WHOLE]))
FOR_DY = (*FOR_X, *OF_X)
