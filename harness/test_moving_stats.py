"""Moving statistics after every step, against the oracle."""

from harness.conftest import assert_law


def test_moving_stats(checked, target, case, record_property):
    assert_law(checked.report(target), case.id, "moving_stats", record_property)
