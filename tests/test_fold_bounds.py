"""Folds stay within their bounds, which are no wider than they must be; and who declares a fold is judged by them."""

from __future__ import annotations

import numpy as np
import pytest

from harness.cases.catalogue import BY_ID
from harness.targets.describe import describe
from harness.targets.wire.answer import started
from harness.targets.wire.arrays import WireError
from harness.targets.wire.reading import description_from
from reference import layer_formulas
from reference.error_bounds import eval_bounds, precision_of
from reference.fold_bounds import FoldParameters, folded_bounds
from tests.experiments.evolve.island import Plan, evolve
from tests.in_process import checked
from tests.targets.honest.folds import FOLDS
from tests.targets.mutants.right import Torch

FAR = BY_ID["rank2"]


class ByTwoScales(Torch):
    """As torch's fuse_conv_bn_weights, in prediction alone."""

    train = None
    folded = True

    def eval(self, x, dy):
        T = self.work.type
        r = 1 / np.sqrt(self.moving_var + T(self.eps))
        shape = (1, -1, *[1] * (x.ndim - 2))
        scale, shift = self.gamma * r, -self.moving_mean * r * self.gamma + self.beta
        return {"y": x * scale.reshape(shape) + shift.reshape(shape), "dx": dy * scale.reshape(shape)}


def test_a_fold_rounds_more_than_one_scale(monkeypatch):
    """Near a large mean an honest fold leaves the bounds of one scale, and stays within its own."""
    rng = np.random.default_rng(0)
    n, channels = 4, 5000
    mean = rng.uniform(1, 2, channels).astype(np.float32)
    x = (mean + 1e-6 * rng.normal(size=(n, channels))).astype(np.float32)
    gamma, var = rng.uniform(1, 2, (2, channels)).astype(np.float32)
    beta = (1e-3 * rng.normal(size=channels)).astype(np.float32)
    given = [a.astype(np.float64) for a in (x, x, gamma, beta, mean, var)]
    precision = precision_of("float32")
    with monkeypatch.context() as patch:
        patch.setattr(layer_formulas, "y_of_products_apart", lambda _: [])  # which a fold is like
        of_one_scale = eval_bounds(*given, 1e-5, precision)["y"]
    of_fold = folded_bounds(given[0], given[1], FoldParameters(*given[2:], 1e-5), precision)["y"]
    x64, _, gamma64, beta64, mean64, var64 = given
    want = gamma64 * (x64 - mean64) / np.sqrt(var64 + 1e-5) + beta64
    fold = next(fold for fold in FOLDS if fold.name.startswith("as_torch"))
    error = np.abs(fold.identity(x, x, (gamma, beta, mean, var), 1e-5, "inside_sqrt")[0] - want)
    assert (error / of_one_scale).max() > 1
    assert 0.3 < (error / of_fold).max() <= 1
    assert np.median(of_fold / of_one_scale) < 4  # nine roundings of |m gamma r| at most, three or so of one scale


@pytest.mark.parametrize("number", [0, 2, 3])
def test_a_slice_of_the_search(number):
    """float64, float16, float32."""
    plan = Plan(seed=2026, number=number, generations=3, values=400, min_n=1, max_n=32, attacked="fold")
    result = evolve(plan, FOLDS)
    greatest = max(champion.ratio for row in result.best.values() for champion in row.values())
    assert 0.4 < greatest <= 1


def test_who_declares_a_fold_is_judged_by_its_bounds():
    report = checked(ByTwoScales, cases=(FAR,))
    assert report.verdict == "agree"
    undeclared = checked(type("Undeclared", (ByTwoScales,), {"folded": False}), cases=(FAR,))

    def bounds(r):
        return {(j.dtype, j.step): j.bound for j in r.judgements if j.observable == "y" and j.bound is not None}

    wider, plain = bounds(report), bounds(undeclared)
    assert wider.keys() == plain.keys()
    assert any(wider[key] > plain[key] for key in plain)


def test_a_declared_fold_goes_over_the_wire():
    answer = started(describe(ByTwoScales), "it", "Python")
    assert description_from(answer, "cpu").folded is True
    answer["implementation"]["folded"] = "yes"
    with pytest.raises(WireError, match="folded: expected true or false"):
        description_from(answer, "cpu")
