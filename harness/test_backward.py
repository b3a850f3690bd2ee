"""Backward: dx, dgamma, dbeta in training and prediction, against the oracle."""

from harness.conftest import assert_law


def test_backward(checked, target, case, record_property):
    assert_law(checked.report(target), case.id, "backward", record_property)
