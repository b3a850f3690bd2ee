"""Honest second derivatives and forward mode stay within their bounds: what once did not, and a slice of the search."""

from __future__ import annotations

import numpy as np
import pytest

from reference import second_derivative_bounds
from reference.quantity import Quantity
from reference.underflow_error import Underflow
from tests.experiments.evolve.directed import OBSERVABLES, Directed, computed, exact_derivatives, ratios
from tests.experiments.evolve.evaluate import Setting
from tests.experiments.evolve.island import Plan, evolve
from tests.targets.honest.second import SECOND_ORDER

BY_NAME = {algorithm.name: algorithm for algorithm in SECOND_ORDER}
SETTING = Setting(1e-5, "inside_sqrt", 0.9, unbiased=True)


def population(x, dy, ddx, dtype="float32", **replaced) -> Directed:
    channels = x.shape[1]
    rng = np.random.default_rng(channels)
    parameters = dict(zip(("gamma", "beta", "ddgamma", "ddbeta"), rng.normal(size=(4, channels)), strict=True))
    given = {"x": x, "dy": dy, "ddx": ddx, "moving_mean": x.mean(axis=0), "moving_var": x.var(axis=0), **parameters}
    return Directed(**{name: np.asarray(a).astype(dtype) for name, a in (given | replaced).items()})


def greatest(p: Directed, s: Setting, *names: str) -> dict[str, float]:
    """error/bound by observable, over the algorithms of these names."""
    algorithms = tuple(BY_NAME[name] for name in names)
    worst = dict.fromkeys(OBSERVABLES, 0.0)
    for _, of_channels in ratios(p, s, algorithms, p.dtype.name):
        worst = {name: max(worst[name], float(of_channels[name].max())) for name in OBSERVABLES}
    return worst


@pytest.mark.parametrize("eps_at", ["inside_sqrt", "outside_sqrt"])
def test_every_algorithm_computes_what_it_says(eps_at):
    """Within 1e-13 of the formula, on easy data; each gives dx2, dgamma2 and one at least of ty and ddy, or neither."""
    rng = np.random.default_rng(0)
    easy = population(*rng.normal(size=(3, 33, 4)) + 1, dtype="float64")
    setting = Setting(1e-3, eps_at, 0.9, True)
    want, _ = exact_derivatives(easy, setting, "float64")
    for algorithm in SECOND_ORDER:
        got = computed(easy, setting, algorithm, "float64")
        assert {"dx2", "dgamma2", "eval_dx2", "eval_dgamma2"} <= set(got) <= set(OBSERVABLES)
        for name, value in got.items():
            assert value.dtype == np.float64
            size = max(1, np.abs(want[name]).max())
            assert np.abs(value - want[name]).max() < 200 * np.finfo(float).eps * size, (algorithm.name, name)


def test_cubes_of_a_small_scale_are_flushed_to_zero(monkeypatch):
    """std 1e9: r^5 is nothing before x - mean and two sums come to make up for it."""
    x, dy, ddx = np.random.default_rng(1).normal(size=(3, 9, 8))
    p = population(1e9 * x, dy, ddx, ddgamma=np.zeros(8))
    names = ("multiplied out LoopInterleaved", "multiplied out FlushesToZeroFolded")
    assert max(greatest(p, SETTING, *names).values()) <= 1
    monkeypatch.setattr(Underflow, "dx2", 0.0)
    assert greatest(p, SETTING, *names)["dx2"] > 10


def test_the_shift_of_a_folded_layer_meets_other_terms(monkeypatch):
    """x ds + (E - m ds), where ds = ddgamma r: each of x ds and m ds is rounded with what it is added to."""
    rng = np.random.default_rng(2)
    x = rng.uniform(1, 2, (1, 400)) + 1e-6 * rng.normal(size=(9, 400))
    small, var, ddgamma = 1e-6 * rng.normal(size=(9, 400)), rng.uniform(0.5, 2, 400), rng.uniform(1, 2, 400)
    p = population(x, x, small, moving_mean=x[0], moving_var=var, ddgamma=ddgamma, ddbeta=small[0])
    name = "reverse over forward, scale and shift, LoopInterleaved"
    assert greatest(p, SETTING, name)["eval_ty"] <= 1
    monkeypatch.setattr(second_derivative_bounds, "by_shift", by_products_alone)
    assert greatest(p, SETTING, name)["eval_ty"] > 1


def by_products_alone(layer):
    """x s - m s over s where each product is rounded once, one of them with an addition before they meet."""
    d, x, m = layer.d_regrouped, layer.x, layer.m
    rest = d.arithmetic.unit * (np.abs(x.value) + 2 * np.abs(m.value))
    return d.arithmetic.rounded(Quantity(d.value, d.arithmetic, d.mean, d.scale, rest))


@pytest.mark.parametrize("number", [0, 1, 3])
def test_a_slice_of_the_search(number):
    """float64, bfloat16, float32."""
    plan = Plan(seed=2025, number=number, generations=2, values=400, max_n=32, attacked="derivatives")
    result = evolve(plan, SECOND_ORDER[number::4])
    over = {name: row for name, row in result.best.items() if max(c.ratio for c in row.values()) > 1}
    assert over == {}
    assert max(champion.ratio for row in result.best.values() for champion in row.values()) > 0.1
