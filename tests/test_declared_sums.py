"""What a target says of its sums makes its bounds narrower, and no code that does as it says leaves them."""

from __future__ import annotations

import inspect
import re
from dataclasses import replace

import numpy as np
import pytest

from harness.cases.catalogue import BY_ID
from reference.batch_norm import BatchNorm
from reference.quantity import Arithmetic
from reference.summation_error import summation_error, unit_in_first_place
from reference.under_test import NumpyBatchNorm
from tests.experiments.evolve.evaluate import OBSERVABLES, computed, exact_step
from tests.experiments.evolve.island import Plan, evolve
from tests.experiments.tightness import ordinary
from tests.targets.honest.adding import pairwise
from tests.targets.honest.declared import DECLARED
from tests.targets.honest.forty import LOOP_FORWARD

PARAMETERS = ("gamma", "beta", "moving_mean", "moving_var")


def test_a_wide_sum_errs_by_its_result_not_by_its_terms():
    t = np.array([[1.0], [1.0], [1.0]])
    u = 2.0**-24
    assert summation_error(t, u, "wide", np.array([0.0])) < 4 * u * u * 3
    assert summation_error(t, u, "wide", np.array([1.0])) == pytest.approx(u, rel=1e-5)


@pytest.mark.parametrize("n", [1, 2, 3, 7, 64, 1025])
def test_the_pairs_of_a_declared_sum_are_those_that_are_added(n):
    """Half an ulp of each partial sum: within the bound, and more than half of it."""
    u, t = 2.0**-24, np.random.default_rng(n).normal(size=(n, 40)).astype(np.float32)
    in_order = Arithmetic(u, 2.0**-126, summation="pairwise_in_order")
    bound = in_order.exact(t.astype(np.float64)).sum().radius
    rows, half_ulps = t.astype(np.float64), np.zeros(40)
    while len(rows) > 1:
        even = len(rows) // 2 * 2
        sums = rows[0:even:2] + rows[1:even:2]
        half_ulps += (2.0 ** (np.floor(np.log2(np.abs(sums))) - 24)).sum(axis=0)
        rows = np.concatenate([sums, rows[even:]])
    assert (np.abs(pairwise(t) - t.astype(np.float64).sum(axis=0)) <= bound).all()
    assert (
        (half_ulps <= bound) | (bound <= n * 2.0**-126)
    ).all()  # sums that are exact have no bound but the smallest numbers
    assert (bound <= 2 * half_ulps + n * 2.0**-126).all()


def test_the_unit_in_the_first_place():
    sizes = np.array([0.0, 1.0, 1.5, 2.0, 3.99, 2.0**-126, np.inf])
    np.testing.assert_array_equal(unit_in_first_place(sizes), [0, 1, 1, 2, 2, 2.0**-126, np.inf])


@pytest.mark.parametrize("summation", DECLARED)
def test_what_declares_its_sums_stays_within_the_bounds_of_that(summation):
    """Channels that evolve towards these bounds; `python -m tests.experiments.evolve --summation` does it for hours."""
    algorithms = DECLARED[summation]
    assert len(algorithms) > 30
    island = evolve(Plan(seed=3, number=1, generations=2, values=800, max_n=40, summation=summation), algorithms)
    worst = {name: max(row[name].ratio for row in island.best.values()) for name in OBSERVABLES}
    assert max(worst.values()) <= 1
    assert min(worst[name] for name in ("y", "dgamma", "dbeta", "mean")) > 0.1


def test_a_plain_loop_that_declares_more_leaves_the_bounds_of_that():
    population, setting = ordinary(4096, 3.0, 40, 0)
    want, bound = exact_step(population, setting, "pairwise_in_order")
    got = computed(population, setting, LOOP_FORWARD)
    assert (np.abs(got["mean"] - want["mean"]) > bound["mean"]).any()


# --- what the reference declares ---


@pytest.mark.parametrize("shape", [(7, 3), (5, 3, 3), (3, 2, 5, 4), (2, 3, 2, 3, 5)])
@pytest.mark.parametrize("layout", ["C", "F", "strided"])
def test_the_reference_adds_neighbours_first_whatever_the_rank_and_layout(shape, layout):
    """To the bit: sums of dy, and of x, as they are defined."""
    rng, C = np.random.default_rng(len(shape)), shape[1]
    x, dy = (lay_out(rng.normal(size=shape).astype(np.float32), layout) for _ in range(2))
    setup = BY_ID["rank2"].make("float32", 0, 0.0).setups[0]
    layer = NumpyBatchNorm(replace(setup, num_features=C, **{name: np.ones(C, np.float32) for name in PARAMETERS}))
    values = layer.train(x, dy)
    n = np.float32(x.size // C)
    np.testing.assert_array_equal(values["dbeta"], pairwise(in_order(dy)))
    np.testing.assert_array_equal(layer.stats()["moving_mean"], pairwise(in_order(x)) / n)
    d = in_order(x) - pairwise(in_order(x)) / n
    np.testing.assert_array_equal(layer.stats()["moving_var"], pairwise(d * d) / n)
    assert NumpyBatchNorm.summation == "pairwise_in_order"


def lay_out(a, layout):
    if layout == "strided":
        return np.repeat(a, 2, axis=-1)[..., ::2]
    return np.array(a, order=layout)


def in_order(a):
    """(n, C): the batch first, then the places of an image."""
    return np.stack([a[:, c].reshape(-1) for c in range(a.shape[1])], axis=1)


def test_the_reference_has_no_other_sum():
    lines = inspect.getsource(BatchNorm) + inspect.getsource(NumpyBatchNorm)
    assert not re.search(r"\.(sum|mean|var|std|dot)\(|einsum|@ ", lines)
    assert lines.count("add_in_pairs(") == 1
