"""Forward: y in training and prediction, against the oracle."""

from harness.conftest import assert_law


def test_forward(checked, target, case, record_property):
    assert_law(checked.report(target), case.id, "forward", record_property)
