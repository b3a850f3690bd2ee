"""A slice of tests/experiments/bounds that runs in seconds, and the corners that it does not visit."""

from __future__ import annotations

import math
from pathlib import Path

import mpmath
import numpy as np
import pytest

from reference.error_bounds import eval_bounds, moving_bound, precision_of, train_bounds
from reference.summation_error import SUMMATIONS, adds_exactly, summation_error
from tests.experiments.bounds import exact, measured
from tests.experiments.bounds.inputs import random_batch
from tests.targets.honest import averages
from tests.targets.honest.adding import backward, cascade, forward, pairwise, strided_lanes, value_sorted
from tests.targets.honest.forty import ALGORITHMS
from tests.targets.honest.statistics import two_pass

TABLE = Path(__file__).resolve().parents[1] / "reference" / "error_bounds_table.md"


@pytest.fixture(scope="module")
def table() -> measured.Table:
    return measured.measure(cases=1500, seed=20240229)


def test_no_honest_algorithm_leaves_the_bound(table):
    assert measured.cases_counted(table) == 1500
    broken = {key: (cell.worst, cell.worst_by) for key, cell in table.items() if not cell.worst <= 1}
    assert not broken


def test_the_bound_is_not_empty(table):
    """Where agreement is conclusive, the least accurate honest algorithm uses more than 2 % of the bound."""
    cells = {key: cell for key, cell in table.items() if cell.conclusive >= 50}
    assert {key[0] for key in cells} == set(measured.OBSERVABLES)
    loose = {key: cell.p99() for key, cell in cells.items() if cell.p99()[0] <= 0.02}
    assert not loose


@pytest.mark.parametrize("n", [4, 16, 64])
def test_fast_variance_leaves_the_bound_by_far(n):
    """y by 100 bounds; the moving variance, where the bound is Welford's, by 20, and by 100 in one channel of ten."""
    rng = np.random.default_rng(n)
    for ratios in measured.fast_variance(1e4, n, rng, channels=200).values():
        assert np.median(ratios["y"]) > 100
        assert ratios["y"].reshape(-1, 10).max(axis=1).min() > 100  # any ten channels together
        assert np.median(ratios["moving_var"]) > 20
        assert ratios["moving_var"].reshape(-1, 10).max(axis=1).min() > 100


def test_fast_variance_is_no_finding_where_it_is_good_enough():
    by_algorithm = measured.fast_variance(1.0, 64, np.random.default_rng(0))
    assert max(ratios["y"].max() for ratios in by_algorithm.values()) < 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_honest_algorithms_against_fifty_digits(dtype):
    b = random_batch(np.random.default_rng(5), dtype, 40, max_n=12)
    _, bound = exact.expected_and_bounds(b)
    with mpmath.workdps(50):
        for algorithm in ALGORITHMS:
            got = algorithm.train(b.x, b.dy, b.gamma, b.beta, b.eps)
            for c in range(40):
                for name, wanted in exact.in_50_digits(b, c).items():
                    limits = np.atleast_1d(bound[name][..., c])
                    for g, e, limit in zip(np.atleast_1d(got[name][..., c]), wanted, limits, strict=True):
                        assert abs(mpmath.mpf(float(g)) - e) <= limit, (algorithm.name, name)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_reference_is_far_more_accurate_than_the_bound(dtype):
    worst = exact.reference_error(200, 1, dtype)
    assert all(0 <= v < 1e-2 for v in worst.values())


def test_fifty_digits_would_show_a_wrong_reference(monkeypatch):
    right = exact.exact_train

    def wrong(*arguments):
        result = right(*arguments)
        return result | {"var": result["var"] * 1.001}

    monkeypatch.setattr(exact, "exact_train", wrong)
    assert exact.reference_error(50, 1, "float32")["var"] > 1


HARD_SUMS = {
    "equal": lambda rng, n: np.full(n, rng.normal()),
    "two values": lambda rng, n: rng.choice(rng.normal(size=2), n),
    "lattice": lambda rng, n: rng.integers(0, 17, n) / 8 + rng.integers(0, 10**6) / 3,
    "even steps": lambda rng, n: rng.normal() * (rng.choice([0, 1, 30, 1e4]) + np.linspace(-1, 1, n)),
    "mostly zeros": lambda rng, n: np.where(rng.random(n) < 0.9, 0, rng.normal(size=n)),
    "sorted squares": lambda rng, n: np.sort(rng.normal(size=n)) ** 2,
    "large mean": lambda rng, n: 10 ** rng.uniform(0, 6) + rng.normal(size=n),
}


@pytest.mark.parametrize("kind", HARD_SUMS)
def test_sums_in_any_order(kind):
    rng = np.random.default_rng(len(kind))
    for _ in range(40):
        n = int(np.exp(rng.uniform(0, np.log(1024))))
        t = np.stack([HARD_SUMS[kind](rng, n) for _ in range(8)], axis=1).astype(np.float32)
        true = np.array([math.fsum(column) for column in t.T.astype(float)])
        bound = summation_error(np.abs(t).astype(np.float64), 2.0**-24)
        for add in (forward, backward, value_sorted, pairwise, cascade, strided_lanes(8)):
            assert (np.abs(add(t) - true) <= bound).all(), add


@pytest.mark.parametrize("n", [2, 3, 17, 1000, 5000])
def test_no_tree_exceeds_the_bound_of_its_partial_sums(n):
    """The greatest terms first, all roundings one way: what the bound is attained by, to first order."""
    t = np.sort(np.random.default_rng(n).exponential(size=(n, 1)), axis=0)[::-1]
    partial = np.cumsum(t, axis=0)[1:].sum(axis=0)
    u = 2.0**-24
    bound = summation_error(t, u)
    assert u * partial <= bound
    if n <= 1000:
        assert bound <= max(u * partial[0] * (1 + 2 * n * u), 2 * u * t.sum())


def test_how_a_layer_says_it_adds_makes_its_bound_sharper():
    t = np.ones((65_536, 1))
    u = 2.0**-24
    of_any, of_pairwise, in_order, wide = (summation_error(t, u, how) for how in SUMMATIONS)
    assert wide < 2 * u * t.sum()
    assert in_order < 17 * u * t.sum()
    assert of_pairwise < 50 * u * t.sum()
    assert of_any > 30_000 * u * t.sum()
    with pytest.raises(ValueError, match="any, pairwise, pairwise_in_order, wide"):
        summation_error(t, u, "somehow")


def test_zeros_cost_nothing():
    t = np.zeros((1000, 1))
    t[[3, 500, 900]] = 0.1
    assert summation_error(t, 2.0**-24) == summation_error(t[[3, 500, 900]], 2.0**-24)


def test_integers_that_fit_add_exactly():
    t = np.arange(1000.0).reshape(-1, 1)
    assert adds_exactly(t, 2.0**-24).all()
    assert not adds_exactly(t + 0.1, 2.0**-24).any()
    assert not adds_exactly(2.0**20 * t + 1, 2.0**-24).any()


@pytest.mark.parametrize("value", [0.0, 0.1, 1e4, -12345.678])
@pytest.mark.parametrize("n", [1, 2, 7, 300])
def test_constant_channels(value, n):
    x = np.full((n, 1), value, np.float32)
    dy = np.random.default_rng(0).normal(size=(n, 1)).astype(np.float32)
    gamma, beta = np.float32([1.3]), np.float32([0.7])
    wide = [a.astype(np.float64) for a in (x, dy, gamma, beta)]
    want = exact.exact_train(*wide, 1e-5)
    bound = train_bounds(*wide, 1e-5, precision_of("float32"))
    assert all(np.isfinite(v).all() and (v >= 0).all() for v in bound.values())
    for algorithm in ALGORITHMS:
        got = algorithm.train(x, dy, gamma, beta, 1e-5)
        for name, limit in bound.items():
            assert (np.abs(got[name] - want[name]) <= limit).all(), (algorithm.name, name)


def test_an_empty_batch_has_bounds_of_the_right_shape():
    x, c = np.zeros((0, 3)), np.ones(3)
    trained = train_bounds(x, x, c, c, 1e-5, precision_of("float32"))
    predicted = eval_bounds(x, x, c, c, c, c, 1e-5, precision_of("float32"))
    assert {k: v.shape for k, v in trained.items()} == {
        "y": (0, 3), "dx": (0, 3), "dgamma": (3,), "dbeta": (3,), "mean": (3,), "var": (3,)
    }  # fmt: skip
    assert {k: v.shape for k, v in predicted.items()} == {
        "y": (0, 3), "dx": (0, 3), "dgamma": (3,), "dbeta": (3,)
    }  # fmt: skip
    assert not any(v.any() for v in (trained | predicted).values())


@pytest.mark.parametrize("keep", [0.0, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0])
def test_moving_averages_with_weights_rounded_either_way(keep):
    rng = np.random.default_rng(3)
    old, new = (10 ** rng.uniform(-3, 3, (2, 2000))).astype(np.float32)
    true = keep * old.astype(np.float64) + (1 - keep) * new.astype(np.float64)
    bound = moving_bound(0.0, old, new, 0.0, keep, 1 - keep, precision_of("float32"))
    for average in (
        averages.two_products, averages.two_products_from_new, averages.two_products_fused, averages.increment,
        averages.decrement, averages.increment_fused, averages.from_new,
    ):  # fmt: skip
        got = average(old, new, keep)
        assert got.dtype == np.float32
        assert (np.abs(got - true) <= bound).all(), average
    assert (bound <= 12 * 2.0**-24 * (old.astype(float) + new)).all()


def test_moving_average_inherits_the_errors_it_is_given():
    assert moving_bound(8.0, 1.0, 1.0, 16.0, 0.75, 0.25, precision_of("float64")) == pytest.approx(10.0)


def test_sixteen_bit_results_are_rounded_once_more():
    rng = np.random.default_rng(7)
    x = (rng.normal(size=(50, 6)) * 10 ** rng.uniform(-2, 2, 6)).astype(np.float16)
    dy = rng.normal(size=(50, 6)).astype(np.float16)
    gamma, beta = rng.normal(size=(2, 6)).astype(np.float32)
    wide = [a.astype(np.float64) for a in (x, dy, gamma, beta)]
    want = exact.exact_train(*wide, 1e-3)
    bound = train_bounds(*wide, 1e-3, precision_of("float16"))
    for algorithm in ALGORITHMS:
        got = algorithm.train(x.astype(np.float32), dy.astype(np.float32), gamma, beta, 1e-3)
        for name, limit in bound.items():
            stored = got[name].astype(np.float16 if name in ("y", "dx") else np.float32)
            assert (np.abs(stored - want[name]) <= limit).all(), (algorithm.name, name)


def test_eps_outside_the_root():
    """Within the bound of its own convention, and 100 bounds outside that of the other."""
    rng = np.random.default_rng(11)
    x = (0.03 * rng.normal(size=(60, 8)) + 0.01).astype(np.float32)
    dy = rng.normal(size=(60, 8)).astype(np.float32)
    wide = [x.astype(np.float64), dy.astype(np.float64), np.ones(8), np.zeros(8)]
    mean, var = two_pass(x, pairwise, np.divide)
    root, d, n = np.sqrt(var), x - mean, np.float32(60)
    r = 1 / (root + np.float32(1e-5))
    xh = d * r
    dx = r * (dy - pairwise(dy) / n - d / root * (pairwise(dy * xh) / n))
    y64 = (wide[0] - wide[0].mean(axis=0)) / (wide[0].std(axis=0) + 1e-5)
    d64 = wide[0] - wide[0].mean(axis=0)
    std64 = wide[0].std(axis=0)
    dx64 = (wide[1] - wide[1].mean(axis=0) - d64 / std64 * (wide[1] * y64).mean(axis=0)) / (std64 + 1e-5)
    own = train_bounds(*wide, 1e-5, precision_of("float32"), "outside_sqrt")
    assert (np.abs(xh - y64) <= own["y"]).all()
    assert (np.abs(dx - dx64) <= own["dx"]).all()
    other = exact.exact_train(*wide, 1e-5)
    bound = train_bounds(*wide, 1e-5, precision_of("float32"))
    assert (np.abs(xh - other["y"]) / bound["y"]).max() > 100
    with pytest.raises(ValueError, match="eps_at"):
        train_bounds(*wide, 1e-5, precision_of("float32"), "somewhere")


@pytest.mark.parametrize("flush", [False, True])
def test_results_that_underflow_are_no_findings(flush):
    rng = np.random.default_rng(13)
    x = (rng.normal(size=(40, 6)) * 10.0 ** rng.uniform(-44, -18, 6)).astype(np.float32)
    dy = (rng.normal(size=(40, 6)) * 10.0 ** rng.uniform(-44, -18, 6)).astype(np.float32)
    gamma, beta = np.ones(6, np.float32), np.zeros(6, np.float32)
    wide = [a.astype(np.float64) for a in (x, dy, gamma, beta)]
    want = exact.exact_train(*wide, 1e-5)
    bound = train_bounds(*wide, 1e-5, precision_of("float32"))
    for algorithm in ALGORITHMS:
        for name, value in algorithm.train(x, dy, gamma, beta, 1e-5).items():
            stored = np.where(np.abs(value) < 2.0**-126, 0, value) if flush else value
            assert (np.abs(stored - want[name]) <= bound[name]).all(), (algorithm.name, name)


@pytest.mark.parametrize(
    ("dtype", "work", "io"),
    [("float64", 53, 53), ("float32", 24, 24), ("bfloat16", 24, 8), ("float16", 24, 11)],
)
def test_precisions(dtype, work, io):
    p = precision_of(dtype)
    assert (p.work, p.io) == (2.0**-work, 2.0**-io)
    numpy_name = "float64" if dtype == "float64" else "float32"
    assert p.work_tiny == np.finfo(numpy_name).smallest_subnormal
    assert p.flush == np.finfo(numpy_name).smallest_normal


def test_what_is_not_finite_stays_in_its_channel():
    rng = np.random.default_rng(17)
    x, dy, c = rng.normal(size=(30, 4)), rng.normal(size=(30, 4)), np.ones(4)
    bad = x.copy()
    bad[3, 1], bad[4, 2] = np.nan, np.inf
    for bounds in (train_bounds, lambda x, dy, *rest: eval_bounds(x, dy, c, c, *rest)):
        clean, spoilt = (bounds(a, dy, c, c, 1e-5, precision_of("float32")) for a in (x, bad))
        for name in clean:
            np.testing.assert_array_equal(clean[name][..., [0, 3]], spoilt[name][..., [0, 3]])


def test_an_unknown_dtype_names_the_known_ones():
    with pytest.raises(ValueError, match=r"float8.*float64, float32, bfloat16, float16"):
        precision_of("float8")


def test_the_committed_table_is_of_every_algorithm_and_keeps_what_it_promises():
    text = TABLE.read_text(encoding="utf-8")
    assert f"300,000 one-channel cases, {len(ALGORITHMS)} honest algorithms each" in text
    assert "Violations: **0**" in text
    lines = [line for line in text[text.index("## Every cell") :].splitlines() if line.startswith("|")]
    cells = [[value.strip() for value in line.split("|")[1:-1]] for line in lines[2:]]
    classes = len(measured.N_DECADES) * len(measured.KAPPA_DECADES)
    assert len(cells) == len(measured.OBSERVABLES) * len(exact.EXTENDED) * classes
    assert all(float(worst) <= 1 for *_, worst, _, _, _ in cells)
    assert all(p99 == "inconclusive" or float(p99) > 0.02 for *_, p99, _ in cells)
