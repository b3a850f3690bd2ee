"""Populations whose products lie near the smallest normal number: small and large factors, by many powers of ten."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests.experiments.evolve import mutate
from tests.experiments.evolve.evaluate import Array, Population
from tests.experiments.evolve.mutate import Rng


def drawn(rng: Rng, n: int, dtype: str, channels: int) -> tuple[Population, list[str]]:
    """A population of `mutate.drawn`, each of its arrays at a size of its own, channel by channel."""
    plain, names = mutate.drawn(rng, n, dtype, channels)
    brood = {name: a.copy() for name, a in plain.arrays().items()}
    with np.errstate(all="ignore"):
        for change in CHANGES:
            change(rng, brood)
    brood["moving_var"] = np.abs(brood["moving_var"])
    return Population(**brood), [f"{name}, near the threshold" for name in names]


def children(rng: Rng, parents: Population, names: list[str], count: int) -> tuple[Population, list[str]]:
    """Half of the children of `mutate.children` have one of their arrays at another size besides."""
    young, young_names = mutate.children(rng, parents, names, count)
    brood = young.arrays()
    with np.errstate(all="ignore"):
        for change in CHANGES:
            changed = {name: a.copy() for name, a in brood.items()}
            change(rng, changed)
            chosen = rng.random(count) < 0.15
            brood = {name: np.where(chosen, changed[name], a) for name, a in brood.items()}
    brood["moving_var"] = np.abs(brood["moving_var"])
    return Population(**brood), young_names


def digits(a: Array) -> float:
    """Of the smallest normal number, below 1: 37.9 or 307.7."""
    return -float(np.log10(np.finfo(a.dtype).smallest_normal))


def at_size(a: Array, decades: Array) -> Array:
    """`a` times a power of ten, such that the largest of each channel has about that size."""
    size = np.abs(a.astype(np.float64))
    size = size.max(axis=0) if a.ndim > 1 else size
    scaled = a / np.where(size > 0, size, 1) * 10.0**decades
    return np.nan_to_num(scaled, nan=0.0, posinf=0.0, neginf=0.0).astype(a.dtype)


Change = Callable[[Rng, dict[str, Array]], None]


def resize_x(rng: Rng, a: dict[str, Array]) -> None:
    """Values near zero, their mean too: what is lost is that mean, or their differences."""
    decades = rng.uniform(-1.05, 0.1, a["x"].shape[1]) * digits(a["x"])
    keep = rng.random(a["x"].shape[1]) < 0.2
    offset = np.where(rng.random(a["x"].shape[1]) < 0.5, a["x"].mean(axis=0), 0)
    a["x"] = np.where(keep, a["x"], at_size((a["x"] - offset).astype(a["x"].dtype), decades))
    a["moving_mean"] = np.where(rng.random(keep.shape) < 0.5, 0, a["x"][0] * 0.5).astype(a["x"].dtype)


def resize_dy(rng: Rng, a: dict[str, Array]) -> None:
    decades = rng.uniform(-1.0, 0.2, a["dy"].shape[1]) * digits(a["dy"])
    a["dy"] = np.where(rng.random(a["dy"].shape[1]) < 0.3, a["dy"], at_size(a["dy"], decades))


def resize_parameters(rng: Rng, a: dict[str, Array]) -> None:
    decades = rng.uniform(-0.8, 0.2, a["gamma"].shape) * digits(a["gamma"])
    a["gamma"] = np.where(rng.random(a["gamma"].shape) < 0.4, a["gamma"], at_size(a["gamma"], decades))
    a["beta"] = np.where(rng.random(a["beta"].shape) < 0.5, 0, a["beta"]).astype(a["beta"].dtype)


def resize_variance(rng: Rng, a: dict[str, Array]) -> None:
    decades = rng.uniform(-1.0, 0.7, a["moving_var"].shape) * digits(a["moving_var"])
    changed = at_size(a["moving_var"], decades)
    a["moving_var"] = np.where(rng.random(changed.shape) < 0.5, a["moving_var"], changed)


def towards_the_threshold(rng: Rng, a: dict[str, Array]) -> None:
    """gamma such that its product with a value of x, or of dy, is just below the smallest normal number."""
    smallest = np.finfo(a["x"].dtype).smallest_normal
    channels = a["x"].shape[1]
    row = rng.integers(len(a["x"]), size=channels)
    of_x = (a["x"] - a["x"].mean(axis=0))[row, np.arange(channels)]
    of = np.where(rng.random(channels) < 0.5, of_x, a["dy"][row, np.arange(channels)])
    chosen = smallest * rng.uniform(0.5, 1.0, channels) / np.abs(of)
    usable = np.isfinite(chosen) & (chosen > smallest) & (rng.random(channels) < 0.3)
    a["gamma"] = np.where(usable, chosen, a["gamma"]).astype(a["gamma"].dtype)


CHANGES: tuple[Change, ...] = (resize_x, resize_dy, resize_parameters, resize_variance, towards_the_threshold)
