"""`less_accurate_than_usual`: what statistics say of a target is a note, and decides nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.cases.catalogue import BY_ID
from harness.diagnose.accuracy import FAR_BEYOND, factor, on_accuracy, usual_errors
from harness.judge.judgement import Verdict
from tests.experiments.usual_errors import CASE_IDS, IN_A_TREE
from tests.in_process import checked
from tests.targets.honest.forty import ALGORITHMS, BY_NAME, LOOP_FORWARD
from tests.targets.honest.layer import as_layer
from tests.targets.mutants.right import D2l

ID = "less_accurate_than_usual"
FLOAT32 = replace(BY_ID["thousand_values"], dtypes=("float32",))


def notes(target, *cases, seed=0):
    report = checked(target, seed=seed, cases=cases, diagnosed=False)
    return report, on_accuracy(report)


class FewerBits(D2l):
    """The products of dgamma keep 13 of float32's 24 bits, as some matrix units have it."""

    def parameter_gradients(self, dy, saved):
        mantissa, exponent = np.frexp(dy * saved["x_hat"])
        products = np.ldexp(np.rint(mantissa * 2**13) / 2**13, exponent).astype(self.work)
        return products.sum(axis=self.axes(dy)), super().parameter_gradients(dy, saved)[1]


def test_a_plain_loop_over_many_values_is_noted_and_agrees():
    report, (note,) = notes(as_layer(LOOP_FORWARD, 0), BY_ID["many_values"])
    assert note.id == ID
    assert "many_values float32" in note.text
    assert Verdict.differ not in {judgement.verdict for judgement in report.judgements}


def test_fewer_bits_within_the_bounds_are_noted():
    report, (note,) = notes(FewerBits, FLOAT32)
    assert report.verdict == "agree"
    assert note.id == ID
    assert "dgamma" in note.text


@pytest.mark.parametrize("number", range(0, len(ALGORITHMS), 7))
def test_no_honest_algorithm_is_noted(number):
    for seed in (101, 102):
        for case in ("rank2", "rank4", "large_mean_1e2", "wide_scales"):
            assert notes(as_layer(ALGORITHMS[number], number), BY_ID[case], seed=seed)[1] == []


@pytest.mark.parametrize("name", ["Pairwise", "CascadeTorchCpu"])
def test_what_adds_in_a_tree_is_not_noted_over_many_values(name):
    assert name in IN_A_TREE
    assert notes(as_layer(BY_NAME[name], 0), BY_ID["many_values"], seed=101)[1] == []


def test_a_target_that_is_at_fault_has_findings_and_no_such_note():
    report, _ = notes(FewerBits, FLOAT32)
    report.judgements[0] = replace(report.judgements[0], verdict=Verdict.differ)
    assert on_accuracy(report) == []


def test_the_table_is_of_cases_that_are_there():
    assert set(usual_errors()) == set(CASE_IDS)
    for case, of_dtypes in usual_errors().items():
        assert set(of_dtypes) == set(BY_ID[case].dtypes)
        assert all(0 < ratio <= 1 for ratios in of_dtypes.values() for ratio in ratios.values())
    assert FAR_BEYOND > 1


def test_what_is_not_in_the_table_has_no_factor():
    report, _ = notes(D2l, BY_ID["rank3"])
    assert {factor(judgement) for judgement in report.judgements} == {0.0}
