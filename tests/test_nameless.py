"""What has no id is called by none: a wrong layer that no known mistake describes is `unexplained`."""

import warnings

import pytest

from harness.cases.catalogue import BY_ID
from tests.in_process import checked
from tests.targets.nameless import PREDICT_ANYTHING


@pytest.fixture(autouse=True)
def _mutants_may_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize("target", PREDICT_ANYTHING, ids=lambda target: target.__name__)
def test_a_replay_that_gives_nan_explains_no_number(target):
    """Debiasing before any update replays as NaN."""
    report = checked(target, cases=(BY_ID["rank2"], BY_ID["rank4"]))
    assert [finding.id for finding in report.diagnosis] == ["unexplained"]
