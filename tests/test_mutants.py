"""Every mutant is flagged by the case that claims it, with the diagnosis that is true; honest variants agree."""

import warnings

import pytest

from harness.cases.catalogue import BY_ID, CASES, suite
from harness.cases.catalogue.derivatives import DERIVATIVES
from harness.diagnose.mistakes.known import TEXTS
from tests.in_process import FEW_VALUES, cases_for, checked, diagnosed
from tests.targets.honest import LAYERS, WITH_DERIVATIVES, WRITTEN_OUT
from tests.targets.mutants import PAIRS, SINGLE, expected_ids

ENOUGH = 40
SECONDS = 20
"""Of processor time for one diagnosis: five on a quiet machine, and slow runners exist."""

QUICK = suite("quick")


def named(mutants):
    return pytest.mark.parametrize("mutant", mutants, ids=lambda mutant: mutant.__name__)


@pytest.fixture(autouse=True)
def _mutants_may_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def test_there_are_enough_of_them():
    assert len(SINGLE) >= ENOUGH
    assert len({mutant.__name__ for mutant in SINGLE + PAIRS}) == len(SINGLE + PAIRS)
    assert all(mutant.case in BY_ID for mutant in SINGLE + PAIRS)
    assert all(expected_ids(mutant) <= set(TEXTS) for mutant in SINGLE + PAIRS)


@named(SINGLE + PAIRS)
def test_a_mutant_is_flagged_by_its_case_and_named_truly(mutant):
    report, seconds = diagnosed(mutant)
    assert report.verdict in ("differ", "raised")
    assert mutant.case in {one.case for one in report.judgements if one.counts_against}
    assert {finding.id for finding in report.diagnosis} == expected_ids(mutant)
    assert all(finding.cases and finding.text for finding in report.diagnosis)
    assert seconds < SECONDS


@named([mutant for mutant in SINGLE if hasattr(mutant, "condition")])
def test_the_branch_that_is_wrong_is_named(mutant):
    report, _ = diagnosed(mutant)
    assert {finding.condition for finding in report.diagnosis} == {mutant.condition}
    assert all(finding.text.endswith(f"; {mutant.condition}") for finding in report.diagnosis)


PLAYED_ON_LESS = [mutant for mutant in SINGLE if cases_for(mutant) == FEW_VALUES and mutant.expected != "unexplained"]
ONE_OF_EACH_KIND = [*{mutant.__module__: mutant for mutant in reversed(PLAYED_ON_LESS)}.values(), PAIRS[-1]]
"""The first of each file; of the unexplained it is said in how many cases they are wrong."""


@named(ONE_OF_EACH_KIND)
def test_cases_of_many_values_change_no_diagnosis(mutant):
    report, _ = diagnosed(mutant)
    of_every_case = checked(mutant)
    assert of_every_case.verdict == report.verdict
    assert [(finding.id, finding.text) for finding in of_every_case.diagnosis] == [
        (finding.id, finding.text) for finding in report.diagnosis
    ]


@named(WRITTEN_OUT + LAYERS[::9])
def test_an_honest_variant_agrees(mutant):
    report = checked(mutant)
    assert [judgement for judgement in report.judgements if judgement.counts_against] == []
    assert report.verdict == "agree"
    assert report.diagnosis == []


@named(WITH_DERIVATIVES)
def test_honest_derivatives_agree(mutant):
    report = checked(mutant, cases=DERIVATIVES)
    assert [judgement for judgement in report.judgements if judgement.counts_against] == []
    assert {judgement.verdict for judgement in report.judgements if judgement.op == "train_double"} == {"agree"}


@named(LAYERS)
def test_an_honest_algorithm_agrees_in_the_quick_suite(mutant):
    report = checked(mutant, cases=QUICK)
    assert [judgement for judgement in report.judgements if judgement.counts_against] == []
    assert report.verdict == "agree"


@named(PAIRS)
def test_a_finding_of_a_pair_names_the_cases_that_need_it(mutant):
    """No finding claims a case in which the target is right; together they claim every case in which it is wrong."""
    report, _ = diagnosed(mutant)
    wrong = {one.case for one in report.judgements if one.counts_against}
    claimed = set().union(*(finding.cases for finding in report.diagnosis))
    assert claimed <= wrong
    assert mutant.case in claimed


@named([mutant for mutant in PAIRS if mutant.__name__ == "SwappedAndUnsaved"])
def test_each_of_two_mistakes_claims_its_own_cases(mutant):
    report, _ = diagnosed(mutant)
    cases = {finding.id: finding.cases for finding in report.diagnosis}
    restored = {case.id for case in CASES if {"restore", "restore_used"} & {*case.script}}
    judged = {judgement.case for judgement in report.judgements if judgement.verdict != "unsupported"}
    assert {*cases["state_not_saved"]} == restored & judged
    assert len(cases["dgamma_dbeta_swapped"]) > len(CASES) / 2


@named([mutant for mutant in SINGLE if mutant.expected == "unexplained"][:1])
def test_a_deviation_that_no_mistake_explains_is_not_guessed_at(mutant):
    report, _ = diagnosed(mutant)
    (finding,) = report.diagnosis
    assert finding.id == "unexplained"
    assert "rank2" in finding.cases


@pytest.mark.parametrize(
    ("name", "number"),
    [("MomentumHardCoded", "weighs 0.1"), ("MomentumHalved", "0.5 times"), ("EpsOfAnother", "0.001"),
     ("EpsTenfold", "10 times the eps")],
)  # fmt: skip
def test_the_fitted_number_is_told(name, number):
    report, _ = diagnosed(next(mutant for mutant in SINGLE if mutant.__name__ == name))
    (finding,) = report.diagnosis
    assert number in finding.text


def test_a_fitted_number_needs_two_cases():
    mutant = next(mutant for mutant in SINGLE if mutant.__name__ == "MomentumHardCoded")
    (finding,) = checked(mutant, cases=(BY_ID["five_steps"],)).diagnosis
    assert finding.id == "unexplained"
