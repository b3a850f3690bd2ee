"""What the exit status of `bnproof check` says of a target: it agrees, and something could be judged at all."""

from harness.pytest_reports import assert_agrees


def test_verdict(reports, target):
    assert_agrees(reports.report(target))
