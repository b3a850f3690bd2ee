"""What has no id is called by none, and told by where it shows; a mistake in one branch is named with its condition."""

import warnings

import pytest

from harness.cases.catalogue import BY_ID
from harness.diagnose.envelopes import NARROW, low_precision
from harness.diagnose.evidence import Evidence
from harness.diagnose.search import by_envelope
from harness.diagnose.suspects import single_suspects
from tests.in_process import FEW_VALUES, checked
from tests.targets.branches import BRANCHES, BiasedByRoundedWeights, OneMistakeInEachType
from tests.targets.nameless import PREDICT_ANYTHING, SMALL_BUT_NOT_ROUNDING, YTimes1001, Zeros


@pytest.fixture(autouse=True)
def _mutants_may_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize("target", PREDICT_ANYTHING, ids=lambda target: target.__name__)
def test_a_replay_that_gives_nan_explains_no_number(target):
    """Debiasing before any update replays as NaN."""
    report = checked(target, cases=(BY_ID["rank2"], BY_ID["rank4"]), diagnosed=False)
    evidence = Evidence(report.played, report.conventions)
    assert evidence.failing
    assert not any(evidence.explained_by(suspect) for suspect in single_suspects(report.conventions))


def test_of_a_prediction_alone_little_can_be_said():
    (finding,) = checked(Zeros, cases=(BY_ID["rank2"],)).diagnosis
    assert finding.id == "unexplained"
    assert "judged in prediction only" in finding.text


DTYPES = (("float64", "float32"), ("float32",), ("bfloat16", "float16"))
TELLING = tuple(BY_ID[name] for name in ("rank2", "rank4", "five_steps", "large_mean_1e4", "sixteen_bits_thousand"))


@pytest.mark.parametrize("dtypes", DTYPES, ids=" ".join)
@pytest.mark.parametrize("target", SMALL_BUT_NOT_ROUNDING, ids=lambda target: target.__name__)
def test_what_is_as_small_as_rounding_is_not_called_rounding(target, dtypes):
    report = checked(type(target.__name__, (target,), {"dtypes": dtypes}), cases=TELLING, diagnosed=False)
    envelopes = [low_precision(report.conventions, name) for name in NARROW]
    assert list(by_envelope(envelopes, Evidence(report.played, report.conventions))) == []


ROUNDED_WEIGHTS = tuple(BY_ID[name] for name in ("rank2", "rank4", "decimal_momentum", "tiny_momentum"))


def test_a_wrong_factor_beside_a_mean_of_fewer_bits_is_not_called_rounding():
    """The mean errs by a roundoff of float32, which tells nothing about a variance that errs by a tenth."""
    target = type("InFloat64", (BiasedByRoundedWeights,), {"dtypes": ("float64",)})
    report = checked(target, cases=ROUNDED_WEIGHTS, diagnosed=False)
    envelopes = [low_precision(report.conventions, name) for name in NARROW]
    assert list(by_envelope(envelopes, Evidence(report.played, report.conventions))) == []


def test_each_weight_may_be_rounded_by_itself():
    findings = checked(BiasedByRoundedWeights, cases=ROUNDED_WEIGHTS[::2]).diagnosis
    assert [finding.id for finding in findings] == ["settings_rounded", "moving_var_biased"]


def test_the_unexplained_is_said_to_be_where_it_is():
    (finding,) = checked(YTimes1001, cases=TELLING).diagnosis
    assert "wrong are eval y, y; in 8 of 8 plays" in finding.text
    assert "y is 1.001 times what it should be" in finding.text


@pytest.mark.parametrize("target", BRANCHES, ids=lambda target: target.__name__)
def test_a_mistake_in_one_branch_is_named_with_its_condition(target):
    cases = tuple(BY_ID[case] for case in target.cases) if hasattr(target, "cases") else FEW_VALUES
    (finding,) = checked(target, cases=cases).diagnosis
    assert finding.id == target.expected
    assert finding.condition.startswith(target.condition)
    assert finding.condition in finding.text


def test_a_mistake_in_one_type_and_another_in_the_other_are_both_named():
    cases = tuple(BY_ID[case] for case in OneMistakeInEachType.cases)
    diagnosis = checked(OneMistakeInEachType, cases=cases).diagnosis
    assert {finding.id: finding.condition for finding in diagnosis} == dict(OneMistakeInEachType.expected)
