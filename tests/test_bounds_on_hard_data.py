"""No honest algorithm leaves its bounds on data on which roundings add up: what once did, and a slice of the search."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.experiments.evolve.evaluate import Population, Setting, ratios
from tests.experiments.evolve.island import Plan, evolve
from tests.experiments.evolve.regressions import populations
from tests.targets.honest.forty import ALGORITHMS

SETTING = Setting(1e-5, "inside_sqrt", 0.9, unbiased=True)


def population(x: np.ndarray, dy: np.ndarray, dtype: str = "float32") -> Population:
    channels = x.shape[1]
    rng = np.random.default_rng(channels)
    gamma, beta = rng.uniform(0.5, 2, (2, channels)) * rng.choice([-1, 1], (2, channels))
    arrays = (x, dy, gamma, beta, rng.normal(size=channels), rng.uniform(0.5, 2, channels))
    return Population(*(a.astype(dtype) for a in arrays))


def biased_ties(n: int) -> tuple[np.ndarray, np.ndarray]:
    """1, then terms with 3/4 of a last place over while the sum is below 2, and 5/4 of the same place above.

    The residues of both halves, modulo any last place, are opposite: read off the terms, the bias is none.
    """
    rng = np.random.default_rng(n)
    place, channels = 2.0**-23, 8
    dy = np.ones((n, channels))
    total = np.ones(channels, np.float32)
    for k in range(1, n):
        whole = 2 * rng.integers(3 * 2**21 // n, 5 * 2**21 // n, channels)
        dy[k] = place * (whole + np.where(total < 2, 0.75, 1.25))
        total = total + dy[k].astype(np.float32)
    return rng.normal(size=(n, channels)) + dy, dy


def ties_in_x(n: int) -> tuple[np.ndarray, np.ndarray]:
    _, terms = biased_ties(n)
    return terms, np.random.default_rng(1).normal(size=terms.shape)


def stripes(n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    x = 100 + np.where(np.arange(n)[:, None] % 2, 1, -1) + 0.3 * rng.normal(size=(n, 40))
    return x, rng.normal(size=x.shape)


def outlier_first(n: int) -> tuple[np.ndarray, np.ndarray]:
    x, dy = np.random.default_rng(3).normal(size=(2, n, 20))
    x[0] += np.geomspace(10, 1e4, 20)
    return x, dy


def huge(n: int) -> tuple[np.ndarray, np.ndarray]:
    x, dy = np.random.default_rng(4).normal(size=(2, n, 20))
    return 1e14 * x, dy


def tiny(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Around the smallest normal number: products and differences are flushed to zero."""
    rng = np.random.default_rng(5)
    x, dy = rng.normal(size=(2, n, 20)) * 10.0 ** rng.uniform(-40, -18, (2, 1, 20))
    return x, dy


def equal_increments(n: int) -> tuple[np.ndarray, np.ndarray]:
    steps = 2.0 ** -np.arange(20, 30)
    return 1 + steps * np.arange(n)[:, None], np.random.default_rng(6).normal(size=(n, 10))


DATA: tuple[Callable[[int], tuple[np.ndarray, np.ndarray]], ...] = (
    biased_ties, ties_in_x, stripes, outlier_first, huge, tiny, equal_increments,
)  # fmt: skip


def over(p: Population, s: Setting) -> dict[str, float]:
    """Everything that leaves its bound, by algorithm and observable."""
    return {
        f"{algorithm.name} {name}": float(ratio.max())
        for algorithm, worst in ratios(p, s, ALGORITHMS)
        for name, ratio in worst.items()
        if not ratio.max() <= 1
    }


@pytest.mark.parametrize("n", [5, 11, 23, 64, 300])
@pytest.mark.parametrize("data", DATA)
def test_on_data_made_to_leave_the_bounds(data, n):
    assert over(population(*data(n)), SETTING) == {}


@pytest.mark.parametrize("data", [biased_ties, stripes])
def test_on_a_thousand_such_values(data):
    assert over(population(*(a[:, :8] for a in data(1024))), SETTING) == {}


def test_on_stripes_in_float64():
    assert over(population(*(a[:, :8] for a in stripes(256)), "float64"), SETTING) == {}


@pytest.mark.parametrize("variance", [1.5e-38, 1e-30])
def test_in_prediction_near_the_smallest_normal_number(variance):
    """Differences that are flushed, scaled by 1/sqrt(eps): a flush to zero is an error of 1e-38 times 1e4."""
    rng = np.random.default_rng(7)
    x, dy = 1.5e-38 * rng.uniform(1, 3, (30, 20)), rng.normal(size=(30, 20))
    p = population(x, dy)
    p.moving_mean[:], p.moving_var[:], p.beta[:] = x[0], variance, 0
    for eps in (1e-8, 1e-3):
        assert over(p, Setting(eps, "inside_sqrt", 0.9, unbiased=False)) == {}


def test_on_channels_that_once_left_a_bound():
    for p, s in populations():
        assert over(p, s) == {}, p


@pytest.mark.parametrize("number", range(4))
def test_a_slice_of_the_search(number):
    """float64 once, float32 three times."""
    result = evolve(Plan(seed=2024, number=number, generations=4, values=1000, max_n=64), ALGORITHMS)
    greatest = {
        f"{algorithm} {observable}": champion
        for algorithm, row in result.best.items()
        for observable, champion in row.items()
        if champion.ratio > 1
    }
    assert greatest == {}
    assert max(champion.ratio for row in result.best.values() for champion in row.values()) > 0.3
