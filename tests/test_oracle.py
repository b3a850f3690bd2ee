"""Where longdouble is no wider than float64, quadruple precision judges float64, to the same verdicts."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from harness.cases.case import DEFAULT_DTYPES
from harness.cases.catalogue import BY_ID, CASES
from harness.judge import oracle
from harness.judge.kept_expected import kept_expected
from harness.judge.oracle import NoOracleError
from harness.judge.prepare import forget_prepared
from reference.conventions import PRESETS
from tests.in_process import checked
from tests.targets.branches import EVERY_KIND
from tests.targets.honest import LAYERS, WRITTEN_OUT
from tests.targets.mutants import PAIRS, SINGLE, expected_ids

NARROW = [case for case in CASES if "float64" in case.dtypes]


def in_float64(target):
    """The target where the wider type judges it: that has no part in the other dtypes."""
    judged = "float64" in getattr(target, "dtypes", DEFAULT_DTYPES)
    return type(target.__name__, (target,), {"dtypes": ("float64",)}) if judged else target


@pytest.fixture(scope="module")
def no_wide_longdouble():
    """As on Windows and on Apple silicon. For several tests together, which share what is expected."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(oracle, "LONGDOUBLE_IS_WIDER", False)
        forget_prepared()
        yield
    forget_prepared()


def expected_of(case, preset):
    conventions = PRESETS[preset]
    with np.errstate(all="ignore"):
        return kept_expected(case.make("float64", 0, conventions.momentum_for(case.new_weight)), conventions)


@pytest.mark.skipif(not oracle.LONGDOUBLE_IS_WIDER, reason="this machine's longdouble is no wider than float64")
@pytest.mark.parametrize("case", NARROW, ids=[case.id for case in NARROW])
def test_both_oracles_owe_the_same(case, monkeypatch):
    """Two implementations of wide arithmetic, by the processor and in software, within a hundredth of the bound."""
    pytest.importorskip("numpy_quaddtype")
    for preset in ("d2l", "torch"):
        monkeypatch.setattr(oracle, "LONGDOUBLE_IS_WIDER", True)
        by_longdouble = expected_of(case, preset)
        monkeypatch.setattr(oracle, "LONGDOUBLE_IS_WIDER", False)
        by_quad = expected_of(case, preset)
        monkeypatch.undo()
        for one, other in zip(by_longdouble, by_quad, strict=True):
            assert one.raises == other.raises
            for name, want in one.values.items():
                got = other.values[name]
                head = want.astype(np.float64)  # by way of two float64: a cast from longdouble would keep but one
                with np.errstate(all="ignore"):
                    apart = np.abs(got - head - (want - head).astype(np.float64)).astype(np.float64)
                both = np.isfinite(want) & np.isfinite(got)
                assert (both | (got == head) | (np.isnan(want) & np.isnan(got))).all(), name
                bound = one.bounds.get(name, np.zeros(want.shape))
                near = apart <= 0.01 * bound + 1e-18 * np.abs(head)
                assert (near | ~both).all(), name


@pytest.mark.usefixtures("no_wide_longdouble")
@pytest.mark.parametrize("variant", WRITTEN_OUT[::8] + LAYERS[::17], ids=lambda one: one.__name__)
def test_an_honest_layer_agrees_in_float64(variant):
    pytest.importorskip("numpy_quaddtype")
    report = checked(in_float64(variant), diagnosed=False)
    assert report.verdict == "agree"
    assert sum(one.dtype == "float64" and one.verdict == "agree" for one in report.judgements) > 500


@pytest.mark.usefixtures("no_wide_longdouble")
@pytest.mark.parametrize("mutant", [*SINGLE[::12], PAIRS[0]], ids=lambda one: one.__name__)
def test_a_mutant_is_named(mutant):
    pytest.importorskip("numpy_quaddtype")
    cases = tuple(BY_ID[case] for case in dict.fromkeys((*EVERY_KIND, mutant.case)))
    report = checked(in_float64(mutant), cases=cases)
    assert {finding.id for finding in report.diagnosis} == expected_ids(mutant)


@pytest.mark.usefixtures("no_wide_longdouble")
def test_without_either_float64_is_not_judged_and_says_why(monkeypatch):
    monkeypatch.setitem(sys.modules, "numpy_quaddtype", None)
    with pytest.raises(NoOracleError, match="pip install numpy_quaddtype"):
        oracle.oracle_dtype("float64")
    assert oracle.oracle_dtype("float32") == np.float64
