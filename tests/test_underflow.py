"""Where products underflow: no order of them leaves the bounds, and without what is added for that they would."""

from __future__ import annotations

import numpy as np
import pytest

from harness.diagnose.fewer_bits import in_fewer_bits
from harness.judge.oracle import OracleLayer
from reference import error_bounds, statistics_error
from reference.error_bounds import precision_of, train_bounds
from reference.fold_bounds import Fold
from tests.experiments.evolve import folded, underflow
from tests.experiments.evolve.evaluate import OBSERVABLES, Population, Setting, computed, exact_step, ratios
from tests.experiments.evolve.folded import Folding
from tests.experiments.evolve.mutate import drawn
from tests.small_evidence import D2L, case, play
from tests.targets.honest.algorithm import flushing
from tests.targets.honest.folds import FOLDS
from tests.targets.honest.orders import ORDERS_THAT_FLUSH

SETTING = Setting(1e-8, "inside_sqrt", 0.9, unbiased=True)
SMALLEST = float(np.finfo(np.float32).smallest_normal)


def beyond(p: Population, setting: Setting = SETTING) -> set[str]:
    """The observables that an algorithm has beyond a bound."""
    over = ratios(p, setting, ORDERS_THAT_FLUSH)
    return {name for _, worst in over for name, ratio in worst.items() if ratio.max() > 1}


def near_the_threshold(dtype: str) -> Population:
    return underflow.drawn(np.random.default_rng(5), 7, dtype, 400)[0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_no_order_of_products_leaves_the_bounds(dtype, monkeypatch):
    p = near_the_threshold(dtype)
    assert beyond(p) == set()
    for name in ("in_y", "in_dgamma", "in_prediction_dx"):
        monkeypatch.setattr(error_bounds.Lost, name, 0.0)
    monkeypatch.setattr(error_bounds.Lost, "in_dx", lambda *_: 0.0)
    assert beyond(p) >= {"y", "dx", "dgamma", "eval_y"}


def test_gamma_times_a_deviation_is_flushed():
    """gamma * (x - mean) * r from left to right: what the product of gamma and r would not lose."""
    x = np.float32([[-1e-30, -1e-30], [1e-30, 1e-30]])
    ones, zeros = np.ones(2, np.float32), np.zeros(2, np.float32)
    p = Population(x, x, 1e-8 * ones, zeros, zeros, zeros)
    want, bound = exact_step(p, SETTING)
    for name in ("y", "eval_y"):
        assert computed(p, SETTING, ORDERS_THAT_FLUSH[0])[name].tolist() == [[0.0, 0.0]] * 2
        assert np.abs(want[name]).min() > 0.9e-34
        assert (np.abs(want[name]) <= bound[name]).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_no_fold_leaves_the_bounds(dtype, monkeypatch):
    """The evaluation of a float64 bound underflows as well, in gamma r: what is added does not."""
    p = near_the_threshold(dtype).take(np.arange(100))
    if dtype == "float64":
        for a, value in ((p.x, 1e50), (p.dy, 1e200), (p.gamma, 1e-230), (p.moving_var, 1e220)):
            a[..., 0] = value
    folding = Folding(**p.arrays(), bias=np.zeros(p.channels(), dtype))
    that_flush = tuple(fold for fold in FOLDS if fold.arithmetic is flushing)

    def greatest() -> float:
        over = folded.ratios(folding, SETTING, that_flush, dtype)
        return max(ratio.max() for _, worst in over for ratio in worst.values())

    assert greatest() <= 1
    if dtype == "float64":
        monkeypatch.setattr(Fold, "lost", lambda *_: 0.0)
        monkeypatch.setattr(error_bounds.Lost, "in_prediction_dx", 0.0)
        assert greatest() > 1


def test_a_mean_that_never_moves(monkeypatch):
    """Each quotient of Welford's update is flushed: x_k lies k times the smallest normal number above the mean, 0."""
    x = (0.99 * SMALLEST * np.arange(1, 65)).astype(np.float32).repeat(2).reshape(64, 2)
    ones = np.ones(2, np.float32)
    p = Population(x, np.ones_like(x), ones, ones, ones, ones)
    assert beyond(p) == set()
    monkeypatch.setattr(statistics_error, "flushed_on_the_way", lambda n, flush: (3 * np.ceil(np.log2(n)) + 2) * flush)
    assert "mean" in beyond(p)


def test_ordinary_bounds_do_not_feel_it(monkeypatch):
    rng = np.random.default_rng(1)
    x, dy = rng.normal(size=(2, 40, 6)) * 10 ** rng.uniform(-6, 6, 6)
    arguments = (x, dy, np.full(6, 1.5), np.full(6, 0.25), 1e-5, precision_of("float32"))
    with_it = train_bounds(*arguments)
    for name in ("in_y", "in_dgamma"):
        monkeypatch.setattr(error_bounds.Lost, name, 0.0)
    monkeypatch.setattr(error_bounds.Lost, "in_dx", lambda *_: 0.0)
    for name, bound in train_bounds(*arguments).items():
        np.testing.assert_allclose(with_it[name], bound, rtol=1e-10)


def test_factors_of_zero_lose_nothing():
    x, zeros = np.ones((5, 2)), np.zeros(2)
    arguments = (1e-5, precision_of("float32"), "inside_sqrt", 0.0, "any")
    of_no_gamma = error_bounds.Lost(error_bounds.layer_of_batch(x, x, zeros, zeros, *arguments)[0])
    assert not of_no_gamma.in_y.any()
    assert not of_no_gamma.in_dx(None).any()
    of_no_gradient = error_bounds.Lost(error_bounds.layer_of_batch(x, 0 * x, zeros + 1, zeros, *arguments)[0])
    assert not of_no_gradient.in_dx(None).any()
    assert not of_no_gradient.in_dgamma.any()
    assert of_no_gradient.in_y.all()


def test_statistics_in_fewer_bits_are_flushed_as_well():
    """What may become zero by the law may become zero in an envelope: no bound of its statistics is narrower."""
    tiny = case("tiny", data=lambda rng, shape: 1e-37 * rng.normal(size=shape), shape=(8, 3), moving_scale=(0.0, 0.0))
    made = play(OracleLayer, tiny, "float32")
    for law, coarse in zip(made.expected, in_fewer_bits(made, D2L, "bfloat16").expected, strict=True):
        for name in {"moving_mean", "moving_var"} & law.bounds.keys():
            assert (coarse.bounds[name] >= law.bounds[name]).all(), name


def test_the_orders_compute_a_batch_norm():
    """On easy data all of them are within 1e-5 of the formula: an algorithm that computes something else is none."""
    rng = np.random.default_rng(3)
    easy, _ = drawn(rng, 33, "float32", 16)
    easy.x[:], easy.dy[:] = rng.normal(size=(2, 33, 16)) + 1
    for a in (easy.gamma, easy.beta, easy.moving_mean, easy.moving_var):
        a[:] = rng.uniform(0.5, 2, 16)
    for eps_at in ("inside_sqrt", "outside_sqrt"):
        setting = Setting(1e-3, eps_at, 0.9, unbiased=True)
        want, _ = exact_step(easy, setting)
        for algorithm in ORDERS_THAT_FLUSH:
            got = computed(easy, setting, algorithm)
            for name in OBSERVABLES:
                size = np.sqrt(np.mean(want[name].astype(float) ** 2))
                np.testing.assert_allclose(got[name], want[name], rtol=0, atol=1e-5 * size, err_msg=algorithm.name)
