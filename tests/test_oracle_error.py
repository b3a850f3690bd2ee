"""The oracle's own error: what is allowed for it holds against balls, and follows from the bounds."""

from __future__ import annotations

import numpy as np
import pytest

from harness.cases.catalogue import BY_ID
from harness.judge import expected as judge_expected
from harness.judge import oracle
from harness.judge.expected import expect
from reference import oracle_error
from reference.error_bounds import Bounds, Precision, eval_bounds, moving_bound, train_bounds
from reference.oracle_error import OracleError, Shares, own_scale_error
from reference.statistics_error import scale_error
from tests.experiments.oracle import CONVENTIONS, Table, compare

SMALL = ("two_values", "rank2", "constant_channel", "tiny_variance", "tiny_momentum", "large_mean_1e4")
"""Among them those in which the published table has the greatest errors."""


def compared(cases=SMALL, dtypes=("float64", "float32")) -> Table:
    table: Table = {}
    for case_id in cases:
        for dtype in dtypes:
            for conventions in CONVENTIONS:
                compare(BY_ID[case_id], dtype, 0, conventions, table)
    return table


def worst(table: Table) -> float:
    return max(c.of_claim for c in table.values())


def test_the_oracle_is_as_near_as_it_is_said_to_be():
    table = compared()
    assert 0.05 < worst(table) <= 1
    assert sum(c.undefined for c in table.values()) == 0
    assert all(c.numbers > 20 and c.radius < 1e-40 for c in table.values())
    assert len(table) == 2 * 10


def test_a_claim_of_nothing_is_refuted(monkeypatch):
    monkeypatch.setattr(Shares, "of_both", lambda _: 0.0)
    assert worst(compared(("rank2",))) == np.inf


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_oracle_of_the_layers_own_precision_is_refuted(monkeypatch, dtype):
    """Its claim taken from the type that it should have had."""
    unit = oracle_error.unit_of(oracle.oracle_dtype(dtype))
    monkeypatch.setattr("harness.judge.session_bounds.unit_of", lambda _: unit)
    monkeypatch.setattr(oracle, "oracle_dtype", lambda name: np.dtype(name))
    assert worst(compared(("rank2",), (dtype,))) > 100


def test_an_oracle_that_is_a_little_wrong_is_refuted(monkeypatch):
    class Wrong(oracle.OracleLayer):
        def inverse_std(self, var):
            return super().inverse_std(var) * (1 + 2.0**-45)

    monkeypatch.setattr(judge_expected, "OracleLayer", Wrong)
    assert worst(compared(("rank2",), ("float32",))) > 1


# --- the shares follow from the bounds ---


COARSE, FINE = 2.0**-14, 2.0**-27


def precision(unit: float) -> Precision:
    tiny = unit**2 * 2.0**-80
    return Precision(unit, unit, tiny, tiny)


def channels(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(n, C): x and dy, among them constant channels and some whose variance is lost, and sums that are exact."""
    scale = 10 ** rng.uniform(-6, 2, 16)
    x = scale * (rng.normal(size=(n, 16)) + 10 ** rng.uniform(-1, 6, 16) * (rng.random(16) < 0.7))
    x[:, :3] = x[0, :3]
    x[:, 3] = rng.integers(0, 3, n)
    dy = np.where(rng.random((n, 16)) < 0.3, 0.0, rng.normal(size=(n, 16)))
    dy[:, :4] = rng.integers(-2, 3, (n, 4))
    return x, dy


@pytest.mark.parametrize("eps_at", ["inside_sqrt", "outside_sqrt"])
@pytest.mark.parametrize("n", [1, 2, 3, 17, 100])
def test_a_finer_layers_bounds_are_a_share_of_a_coarser_ones(n, eps_at):
    """As the oracle's are; evaluated for both, of a step and of a prediction after it."""
    rng = np.random.default_rng(n)
    (x, dy), (gamma, beta) = channels(n, rng), rng.normal(size=(2, 16))
    given, start, var = (x, dy, gamma, beta), x[0], x.var(axis=0)
    oracle_error = OracleError(FINE, precision(COARSE), n)
    for eps in (1e-5, 1e-1):
        bounds, predicted, var_errors = [], [], []
        for unit in (FINE, COARSE):
            of_unit = precision(unit)
            bounds.append(train_bounds(*given, eps, of_unit, eps_at))
            mean_error = moving_bound(0.0, beta, start, bounds[-1]["mean"], 0.9, 0.1, of_unit)
            var_errors.append(moving_bound(0.0, beta, var, bounds[-1]["var"], 0.9, 0.1, of_unit))
            errors = mean_error, var_errors[-1]
            predicted.append(eval_bounds(*given, start, var, eps, of_unit, *errors, eps_at))
        assert_share(oracle_error, *bounds, oracle_error.with_scale(var, bounds[1]["var"], eps, eps_at))
        assert_share(oracle_error, *predicted, oracle_error.with_scale(var, var_errors[1], eps, eps_at))


def assert_share(oracle_error: OracleError, fine: Bounds, coarse: Bounds, scale: Shares) -> None:
    for name, bound in coarse.items():
        share = scale.oracle if name in ("y", "dx", "dgamma") else oracle_error.without_scale().oracle
        assert (fine[name] <= share * bound * (1 + 1e-6)).all(), name


@pytest.mark.parametrize("eps_at", ["inside_sqrt", "outside_sqrt"])
def test_the_scales_error_without_a_subtraction_is_the_same(eps_at):
    rng = np.random.default_rng(0)
    var, error = 10 ** rng.uniform(-12, 2, (2, 200))
    for unit in (2.0**-24, 2.0**-10):
        with np.errstate(divide="ignore", invalid="ignore"):
            plain = scale_error(var, error, 1e-5, eps_at, unit)
            own = own_scale_error(var, error, 1e-5, eps_at, unit)
        np.testing.assert_allclose(own, plain, rtol=1e-6)
    with np.errstate(invalid="ignore"):
        assert own_scale_error(np.zeros(1), np.zeros(1), 1e-5, eps_at, 2.0**-64) == 6 * 2.0**-64


def test_a_declared_sum_is_judged_within_what_the_oracle_itself_may_be_off():
    """The longdouble oracle adds in turn, a layer in twice the digits of float64 does it better."""
    script = BY_ID["values_1025"].make("float64", 0, 0.875)
    step = {how: expect(script, CONVENTIONS[0], summation=how)[-1] for how in ("any", "wide")}
    for name, of_any in step["any"].bounds.items():
        added = step["any"].shares[name].of_both()
        assert (step["wide"].bounds[name] >= added * of_any).all()
        assert (step["wide"].bounds[name] <= of_any).all()


def test_a_bound_of_nothing_stays_nothing():
    assert Shares(0.5, 0.25).added(np.array([0.0, 4.0, np.inf])).tolist() == [0.0, 3.0, np.inf]
