"""Populations drawn by recipe, and children of the channels that came nearest to their bounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from tests.experiments.evolve import recipes
from tests.experiments.evolve.evaluate import Array, Population

Rng = np.random.Generator
Some = TypeVar("Some", bound=Population)


def drawn(rng: Rng, n: int, dtype: str, channels: int, each: int = 8) -> tuple[Population, list[str]]:
    """A population by recipe, `each` channels a pair of recipes; and the pairs' names, channel by channel."""
    parts, names = [], []
    for start in range(0, channels, each):
        count = min(each, channels - start)
        of_x, of_dy = str(rng.choice(recipes.FOR_X)), str(rng.choice(recipes.FOR_DY))
        x = recipes.data(rng, of_x, n, count).astype(dtype)
        parts.append((x, recipes.cotangent(rng, of_dy, x.astype(np.float64)).astype(dtype)))
        names += [f"{of_x}, {of_dy}"] * count
    x, dy = (np.concatenate([part[k] for part in parts], axis=1) for k in (0, 1))
    with np.errstate(over="ignore"):
        parameters = [a.astype(dtype) for a in parameters_for(rng, x.astype(np.float64))]
    return Population(x, dy, *parameters), names


def parameters_for(rng: Rng, x: Array) -> tuple[Array, Array, Array, Array]:
    """gamma, beta and moving statistics for x (n, C): ordinary, zero, of either sign, or such that y cancels."""
    channels = x.shape[1]
    gamma, beta = rng.normal(size=(2, channels)) * 10 ** rng.uniform(-2, 2, (2, channels))
    gamma = np.select([kind := rng.random(channels) < 0.15, rng.random(channels) < 0.05], [1.0, 0.0], gamma)
    mean, std = x.mean(axis=0), np.sqrt(x.var(axis=0))
    value = x[rng.integers(len(x)), np.arange(channels)]
    with np.errstate(all="ignore"):
        against = -gamma * np.nan_to_num((value - mean) / np.sqrt(std**2 + 1e-5), posinf=0, neginf=0)
    beta = np.select([kind | (rng.random(channels) < 0.1), rng.random(channels) < 0.2], [0.0, against], beta)
    moving_mean = np.where(rng.random(channels) < 0.2, value, mean + std * rng.normal(size=channels))
    moving_mean = np.where(rng.random(channels) < 0.1, 0, moving_mean)
    tiny = 10.0 ** rng.uniform(-44, -6, channels)
    moving_var = np.where(rng.random(channels) < 0.15, tiny, std**2 * 10 ** rng.uniform(-1, 1, channels))
    return gamma, beta, moving_mean, np.where(rng.random(channels) < 0.05, 0, moving_var)


def children(rng: Rng, parents: Some, names: list[str], count: int) -> tuple[Some, list[str]]:
    """`count` copies of parents, each changed in one to three ways."""
    index = rng.integers(0, parents.channels(), count)
    brood = {name: a.copy() for name, a in parents.take(index).arrays().items()}
    other = parents.take(rng.integers(0, parents.channels(), count)).arrays()
    with np.errstate(all="ignore"):
        for _ in range(int(rng.integers(1, 4))):
            kinds = rng.integers(len(CHANGES), size=count)
            for kind, change in enumerate(CHANGES):
                chosen = np.flatnonzero(kinds == kind)
                if len(chosen):
                    part = {name: np.ascontiguousarray(a[..., chosen]) for name, a in brood.items()}
                    change(rng, part, {name: a[..., chosen] for name, a in other.items()})
                    for name, a in part.items():
                        brood[name][..., chosen] = a
    brood["moving_var"] = np.abs(brood["moving_var"])
    return type(parents)(**brood), [names[k] for k in index]


Part = dict[str, Array]
Change = Callable[[Rng, Part, Part], None]


def some(rng: Rng, shape: tuple[int, ...]) -> Array:
    """A mask of few elements of each channel, or of many."""
    return np.asarray(rng.random(shape) < rng.choice([1 / shape[0], 3 / shape[0], 0.1, 0.5], shape[1]))


def of_x_or_dy(rng: Rng) -> str:
    return "x" if rng.random() < 0.5 else "dy"


def nudge(rng: Rng, a: Part, _other: Part) -> None:
    """A few last places."""
    name = of_x_or_dy(rng)
    steps = rng.integers(-3, 4, a[name].shape) * some(rng, a[name].shape)
    a[name] += (steps * np.spacing(np.abs(a[name]))).astype(a[name].dtype)


def scatter(rng: Rng, a: Part, _other: Part) -> None:
    """Relative changes of any size."""
    name = of_x_or_dy(rng)
    size = 10 ** rng.uniform(-6, 0, a[name].shape[1])
    center = a["x"].mean(axis=0) if name == "x" and rng.random() < 0.5 else 0
    scaled = (a[name] - center) * (1 + size * rng.normal(size=a[name].shape)) + center
    a[name] = np.where(some(rng, a[name].shape), scaled, a[name]).astype(a[name].dtype)


def copy_elements(rng: Rng, a: Part, _other: Part) -> None:
    name = of_x_or_dy(rng)
    source = rng.integers(0, len(a[name]), a[name].shape)
    mask = some(rng, a[name].shape)
    a[name] = np.where(mask, np.take_along_axis(a[name], source, axis=0), a[name])


def exchange(rng: Rng, a: Part, _other: Part) -> None:
    """The same two rows of x and dy, or of one of them."""
    i, j = rng.integers(0, len(a["x"]), 2)
    for name in (("x", "dy"), ("x",), ("dy",))[rng.integers(3)]:
        a[name][[i, j]] = a[name][[j, i]]


def reorder(rng: Rng, a: Part, _other: Part) -> None:
    n = len(a["x"])
    stride = int(rng.choice([2, 4, 8, 32]))
    by_stride = np.concatenate([np.arange(k, n, stride) for k in range(min(stride, n))])
    orders = (np.arange(n)[::-1], by_stride, np.argsort(by_stride), np.roll(np.arange(n), rng.integers(n)))
    order = orders[rng.integers(len(orders))]
    for name in (("x", "dy"), ("x",), ("dy",))[rng.integers(3)]:
        a[name] = np.ascontiguousarray(a[name][order])


def sort(rng: Rng, a: Part, _other: Part) -> None:
    by = of_x_or_dy(rng)
    order = np.argsort(a[by], axis=0)[:: int(rng.choice([-1, 1]))]
    for name in ("x", "dy"):
        a[name] = np.take_along_axis(a[name], order, axis=0)


def reflect(rng: Rng, a: Part, _other: Part) -> None:
    """Elements on the other side of the mean, or of zero."""
    name = of_x_or_dy(rng)
    center = a[name].mean(axis=0) if rng.random() < 0.7 else 0
    a[name] = np.where(some(rng, a[name].shape), 2 * center - a[name], a[name]).astype(a[name].dtype)


def rescale(rng: Rng, a: Part, _other: Part) -> None:
    name = of_x_or_dy(rng)
    by = rng.choice([0.5, 2, 1 + 2.0**-10, 1 / 3, 10], a[name].shape[1])
    a[name] = (a[name] * by).astype(a[name].dtype)


def shift(rng: Rng, a: Part, _other: Part) -> None:
    name = of_x_or_dy(rng)
    spread = a[name].std(axis=0) + np.abs(a[name].mean(axis=0)) * 0.01
    by = spread * rng.normal(size=spread.shape) * 10 ** rng.uniform(-2, 3, spread.shape)
    a[name] = (a[name] + by).astype(a[name].dtype)


def flatten(rng: Rng, a: Part, _other: Part) -> None:
    """Elements become the mean, or zero."""
    name = of_x_or_dy(rng)
    value = a[name].mean(axis=0) if rng.random() < 0.5 else 0
    a[name] = np.where(some(rng, a[name].shape), value, a[name]).astype(a[name].dtype)


def cross(rng: Rng, a: Part, other: Part) -> None:
    """dy of another channel, or everything from some row on."""
    if rng.random() < 0.5:
        a["dy"] = other["dy"].copy()
    else:
        row = int(rng.integers(len(a["x"])))
        for name in ("x", "dy"):
            a[name][row:] = other[name][row:]


def other_parameters(rng: Rng, a: Part, _other: Part) -> None:
    drawn_again = parameters_for(rng, a["x"].astype(np.float64))
    for name, values in zip(("gamma", "beta", "moving_mean", "moving_var"), drawn_again, strict=True):
        redrawn = rng.random(values.shape) < 0.5
        a[name] = np.where(redrawn, values, a[name]).astype(a[name].dtype)


def nudge_parameters(rng: Rng, a: Part, _other: Part) -> None:
    for name in ("gamma", "beta", "moving_mean", "moving_var"):
        size = 10 ** rng.uniform(-7, -0.5, a[name].shape)
        a[name] = (a[name] * (1 + size * rng.normal(size=a[name].shape))).astype(a[name].dtype)


CHANGES: tuple[Change, ...] = (
    nudge, nudge, scatter, scatter, copy_elements, exchange, reorder, sort, reflect, rescale, shift, flatten, cross,
    other_parameters, nudge_parameters,
)  # fmt: skip
