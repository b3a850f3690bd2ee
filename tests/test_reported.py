"""Layers after public reports are flagged and named as published; right ones that do something unusual agree."""

import re
from pathlib import Path

import pytest

from harness.cases.catalogue import suite
from harness.diagnose.mistakes.known import TEXTS
from tests.experiments.reported import played, row
from tests.in_process import checked
from tests.targets.layers_reports import REPORTS
from tests.targets.oddities import ODDITIES

PUBLISHED = (Path(__file__).parent / "experiments" / "REPORTED.md").read_text()
QUICK = suite("quick")


def test_there_are_as_many_as_published():
    assert len(REPORTS) == 35
    assert {layer.expected for layer in REPORTS} <= set(TEXTS)
    assert len(re.findall(r"^\| [A-Z]", PUBLISHED, re.MULTILINE)) == len(REPORTS)


@pytest.mark.parametrize("layer", REPORTS, ids=lambda layer: layer.__name__)
def test_a_reported_mistake_is_flagged_and_named(layer):
    report = played(layer)
    assert report.verdict == "differ"
    assert [finding.id for finding in report.diagnosis] == [layer.expected]
    assert row(layer, report) in PUBLISHED


@pytest.mark.parametrize("layer", ODDITIES, ids=lambda layer: layer.__name__)
def test_what_is_right_but_odd_agrees(layer):
    report = checked(layer, cases=QUICK)
    assert report.verdict == "agree"
    assert report.diagnosis == []
