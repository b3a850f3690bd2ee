"""Backward: dx, dgamma, dbeta in training and prediction, against the oracle."""

from harness.observables import Direction
from harness.pytest_reports import assert_law


def test_backward(request, reports, target, case):
    assert_law(request, reports.report(target), case, Direction.backward)
