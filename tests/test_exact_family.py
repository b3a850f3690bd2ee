"""Data whose results are all exact: a target that declares its sums is held to a few ulps there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.cases.catalogue import BY_ID
from harness.judge.prepare import prepare
from reference.batch_norm import to_rows
from reference.conventions import PRESETS
from reference.quantity import Arithmetic, Quantity
from reference.summation_error import fits, is_exact_sum
from tests.experiments import exact_family
from tests.experiments.exact_family import FAMILY, smallest
from tests.in_process import checked
from tests.targets.honest.declared import DECLARED
from tests.targets.honest.forty import ALGORITHMS
from tests.targets.honest.layer import as_layer

u = 2.0**-24


@pytest.mark.parametrize("case", FAMILY)
def test_two_passes_give_the_exact_numbers_in_float32(case):
    """Whatever the order of their sums: of no observable does anything round but the moving averages."""
    prepared = prepare(BY_ID[case], "float32", 5, PRESETS["d2l"], "wide")
    step, setup = prepared.script.steps[0], prepared.script.setups[0]
    x, dy = (to_rows(a, 1) for a in (step.x, step.dy))
    gamma, beta = (np.resize(np.float32(values), x.shape[1]) for values in ([1.5, -0.75], [0.5, 1]))
    for algorithms in DECLARED.values():
        values = algorithms[0].train(x, dy, gamma, beta, setup.eps)
        wide = algorithms[0].train(*(a.astype(np.float64) for a in (x, dy, gamma, beta)), setup.eps)
        for name, value in values.items():
            assert (value == wide[name]).all(), name


@pytest.mark.parametrize("summation", DECLARED)
def test_statistics_of_exact_data_have_no_error(summation):
    expected = prepare(BY_ID["exact_4096"], "float32", 0, PRESETS["d2l"], summation).expected[0]
    for name, value in expected.values.items():
        size = np.sqrt(np.mean(np.square(value)))
        assert (expected.bounds[name] <= {"dgamma": 500, "dx": 500}.get(name, 8) * u * size).all(), name
    assert (expected.bounds["dbeta"] == 0).all()


@pytest.mark.parametrize("summation", DECLARED)
def test_what_declares_its_sums_agrees(summation):
    for number in (0, 1, 7, 20, 45):
        algorithm = DECLARED[summation][number]
        layer = type("Declared", (as_layer(algorithm, number),), {"summation": summation, "dtypes": ("float32",)})
        cases = tuple(replace(BY_ID[case], dtypes=("float32",)) for case in ("exact_1024", "exact_4096"))
        report = checked(layer, seed=number, cases=cases)
        assert report.verdict == "agree", (algorithm.name, [j for j in report.judgements if j.counts_against])


def test_honest_algorithms_that_declare_nothing_agree():
    """All of them and twenty seeds: tests/experiments/honest.md."""
    for number in range(0, len(ALGORITHMS), 9):
        report = checked(as_layer(ALGORITHMS[number], number), seed=number, cases=(BY_ID["exact_1024"],))
        assert report.verdict in ("agree", "inconclusive"), ALGORITHMS[number].name


@pytest.mark.parametrize(("mistake", "finer"), [("eps", 100), ("gamma", 100), ("Bessel's factor", 300)])
def test_the_published_table_is_that_of_today(mistake, finer):
    undeclared, declared = (smallest(BY_ID["exact_4096"], mistake, how) for how in ("any", "pairwise_in_order"))
    assert undeclared > finer * declared
    text = exact_family.__file__.replace("exact_family.py", "EXACT.md")
    with open(text, encoding="utf-8") as file:
        section = file.read().split("## exact_4096")[1].split("##")[0]
    row = next(line for line in section.splitlines() if line.startswith(f"| {mistake} |"))
    cells = [float(cell) for cell in row.split("|")[2:-1]]
    assert (cells[0], cells[2]) == (pytest.approx(undeclared, rel=0.1), pytest.approx(declared, rel=0.1))


def test_an_operation_is_exact_only_where_nothing_is_lost():
    assert fits(np.array([0.0, 1.0, 1 - u, 1 - u / 2, 3 * 2.0**-30]), u).tolist() == [True, True, True, False, True]
    assert is_exact_sum(np.array([1.0, 1.0]), np.array([2.0**-52, 2.0**-60])).tolist() == [True, False]
    arithmetic = Arithmetic(u, 2.0**-126, summation="wide")
    a = arithmetic.exact(np.array([[3.0, 3.0, 1 + 2 * u, 2.0**-100]]))
    b = arithmetic.exact(np.array([[5.0, 2.0**-24, 1 + 2 * u, 2.0**-40]]))
    assert ((a + b).radius == 0).tolist() == [[True, False, True, False]]
    assert ((a * b).radius == 0).tolist() == [[True, True, False, False]]
    assert (a.over(4).radius == 0).tolist() == [[True, True, True, True]]
    assert (a.over(3).radius > 0).all()
    off = Quantity(a.value, arithmetic, rest=np.full_like(a.value, u))
    assert ((off + b).radius > u).all()
    assert (Arithmetic(u, 2.0**-126).exact(a.value).over(4).radius > 0).all()
