"""Moving statistics after every step, against the oracle."""

from harness.observables import Direction
from harness.pytest_reports import assert_law


def test_moving_stats(request, reports, target, case):
    assert_law(request, reports.report(target), case, Direction.moving_stats)
