"""Layers whose x is multiplied by a number and divided by it stay within their bounds; who declares it gets these."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from harness.cases.catalogue import BY_ID
from harness.check import CheckOptions, check_target
from harness.targets.describe import describe
from harness.targets.in_process import InProcessTarget
from harness.targets.load import load
from harness.targets.wire.answer import started
from harness.targets.wire.reading import description_from
from reference.error_bounds import eval_bounds, precision_of, train_bounds
from reference.fold_bounds import FoldParameters
from reference.rescaled_bounds import rescaled_eval_bounds, rescaled_train_bounds
from tests.experiments.bounds.exact import exact_train
from tests.experiments.evolve import rescaled
from tests.experiments.evolve.evaluate import Population, Setting
from tests.experiments.evolve.island import Plan, evolve
from tests.targets.honest.forty import ALGORITHMS
from tests.targets.mutants.right import Torch

FLOAT32 = precision_of("float32")
BY_NAME = {algorithm.name: algorithm for algorithm in ALGORITHMS}


def test_rescaled_an_honest_layer_leaves_the_bounds_of_the_plain_one(monkeypatch):
    """Found by the search: the gradients of the factor, opposite on paper, leave what dgamma has no room for."""
    setting = Setting(eps=1e-3, eps_at="inside_sqrt", keep=0.9, unbiased=False)
    columns = [19447.529296875, 19420.755859375], [0.0, 0.0313725508749485]
    parameters = 0.8934684991836548, 0.0, 19455.21875, 176.96929931640625
    channel = Population(
        *(np.array(a, np.float32)[:, None] for a in columns), *(np.array([a], np.float32) for a in parameters)
    )
    quotients = (BY_NAME["QuotientsOfXFirst"],)

    def ratio():
        ((_, of_channel),) = rescaled.ratios(channel, setting, quotients, "float32")
        return of_channel["eval_dgamma"][0]

    assert 0.3 < ratio() <= 1
    with monkeypatch.context() as patch:
        patch.setattr(
            rescaled,
            "rescaled_eval_bounds",
            lambda x, dy, of, precision: eval_bounds(
                x, dy, of.gamma, of.beta, of.moving_mean, of.moving_var, of.eps, precision
            ),
        )
        assert ratio() > 1.15


@pytest.mark.parametrize("number", [0, 2, 3])
def test_a_slice_of_the_search(number):
    """float64, float16, float32."""
    plan = Plan(seed=2026, number=number, generations=3, values=400, min_n=2, max_n=32, attacked="rescaled")
    result = evolve(plan, ALGORITHMS)
    greatest = max(champion.ratio for row in result.best.values() for champion in row.values())
    assert 0.4 < greatest <= 1


def drawn(mean_over_std, n, channels=200):
    rng = np.random.default_rng(3)
    x = mean_over_std * rng.choice([-1, 1], channels) + rng.normal(size=(n, channels))
    x, dy = (a.astype(np.float32).astype(np.float64) for a in (x, rng.normal(size=(n, channels))))
    gamma, beta = rng.normal(size=(2, channels))
    return x, dy, FoldParameters(gamma, beta, x.mean(axis=0), np.exp(rng.normal(size=channels)), 1e-5)


@pytest.mark.parametrize("n", [2, 64])
@pytest.mark.parametrize("mean_over_std", [0.1, 1000])
def test_they_are_wider_by_little(mean_over_std, n):
    x, dy, of = drawn(mean_over_std, n)
    pairs = {
        "training": (
            rescaled_train_bounds(x, dy, of, FLOAT32),
            train_bounds(x, dy, of.gamma, of.beta, of.eps, FLOAT32),
        ),
        "prediction": (
            rescaled_eval_bounds(x, dy, of, FLOAT32),
            eval_bounds(x, dy, of.gamma, of.beta, of.moving_mean, of.moving_var, of.eps, FLOAT32),
        ),
    }
    for wider, plain in pairs.values():
        by = {name: wider[name] / plain[name] for name in plain}
        assert all((factor >= 1).all() for factor in by.values())
        assert (by["dbeta"] == 1).all()
        assert np.median(by["y"]) < 1.7
        assert np.median(by["dx"]) < 1.5
        assert np.median(by["dgamma"]) < 3.1


def test_each_rounding_on_the_way_has_its_room():
    """To first order, as section 20 lists them: of x, of dx, and of the terms of either sum."""
    x, dy, of = drawn(10.0, 8)
    wider, plain = rescaled_train_bounds(x, dy, of, FLOAT32), train_bounds(x, dy, of.gamma, of.beta, of.eps, FLOAT32)
    gamma, three, exact = np.asarray(of.gamma), 3 * FLOAT32.work, exact_train(x, dy, of.gamma, of.beta, of.eps)
    of_x, r = three * np.abs(x), 1 / np.sqrt(exact["var"] + of.eps)
    needed = {
        "mean": of_x.mean(axis=0),
        "var": 2 * np.sqrt(exact["var"]) * np.sqrt((of_x**2).mean(axis=0)),
        "y": np.abs(gamma) * r * of_x,
        "dx": three * np.abs(exact["dx"]),
        "dgamma": 3 * (np.abs(exact["dx"]) * of_x).sum(axis=0) / np.abs(gamma),  # of each sum's terms, and x - x'
    }
    assert all((wider[name] - plain[name] >= room).all() for name, room in needed.items())
    in_prediction = rescaled_eval_bounds(x, dy, of, FLOAT32)
    given = of.gamma, of.beta, of.moving_mean, of.moving_var, of.eps
    of_plain = eval_bounds(x, dy, *given, FLOAT32)
    scale = np.abs(gamma) / np.sqrt(np.asarray(of.moving_var) + of.eps)
    assert (in_prediction["y"] - of_plain["y"] >= scale * of_x).all()
    assert (in_prediction["dx"] - of_plain["dx"] >= three * scale * np.abs(dy)).all()
    of_sums = 3 * (scale * np.abs(dy) * of_x).sum(axis=0) / np.abs(gamma)
    assert (in_prediction["dgamma"] - of_plain["dgamma"] >= of_sums).all()


def test_where_gamma_is_0_nothing_is_allowed():
    """x is lost there, 0/0: that is a finding, and no bound may hide it."""
    x, dy, of = drawn(1.0, 8)
    of = FoldParameters(0.0 * np.asarray(of.gamma), of.beta, of.moving_mean, of.moving_var, of.eps)
    bounds = rescaled_train_bounds(x, dy, of, FLOAT32)
    plain = train_bounds(x, dy, of.gamma, of.beta, of.eps, FLOAT32)
    for name, bound in plain.items():
        np.testing.assert_allclose(bounds[name], bound, rtol=1e-9)


def test_the_fold_of_quantization_aware_training_is_judged_by_them():
    pytest.importorskip("torch")

    def bounds(through):
        target = InProcessTarget(load("torch-native", "", through))
        with warnings.catch_warnings(action="ignore"):
            report = check_target(target, CheckOptions((BY_ID["rank3"],)))
        assert report.verdict == "agree"
        return {
            (played.dtype, number, name): bound
            for played in report.played
            for number, step in enumerate(played.expected)
            for name, bound in step.bounds.items()
        }

    rescaled_by, plain = bounds("qat"), bounds("")
    wider = {key[-1] for key, bound in rescaled_by.items() if (bound > plain[key]).any()}
    assert wider == {"y", "dx", "dgamma", "moving_mean", "moving_var"}
    assert all((bound >= plain[key]).all() for key, bound in rescaled_by.items())


def test_it_is_declared_over_the_wire():
    answer = started(describe(type("Rescaled", (Torch,), {"rescaled": True})), "it", "Python")
    assert description_from(answer, "cpu").rescaled is True
    del answer["implementation"]["rescaled"]
    assert description_from(answer, "cpu").rescaled is False
