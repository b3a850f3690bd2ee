"""What reports amount to: an exit status, and the JSON of `check --json`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.cli.output import AGREED, DIED, FAULTY, NOTHING_JUDGED, USAGE
from harness.judge.coverage import training_gave_nothing
from harness.judge.judgement import Verdict
from harness.judge.report import TargetReport
from harness.record.checked import comparison_as_dict, target_as_dict
from harness.record.environment import environment
from harness.record.ledger import SCHEMA


def exit_status(reports: Sequence[TargetReport], outdated: Sequence[str] = ()) -> int:
    """2 before 3 before 1 before 4 before 0. outdated: known differences that no longer differ, a fault as well."""
    verdicts = {report.verdict for report in reports}
    if any(report.load_error for report in reports):
        return USAGE
    if verdicts & {Verdict.crashed, Verdict.timed_out}:
        return DIED
    if outdated or verdicts & {Verdict.differ, Verdict.raised}:
        return FAULTY
    if not verdicts <= {Verdict.agree, Verdict.known} or any(map(training_gave_nothing, reports)):
        return NOTHING_JUDGED
    return AGREED


def as_json(reports: Sequence[TargetReport]) -> dict[str, Any]:
    cases = [[comparison_as_dict(report, judgement) for judgement in report.judgements] for report in reports]
    return {
        "schema": SCHEMA,
        "environment": environment(),
        "targets": [
            target_as_dict(report) | {"cases": of_target} for report, of_target in zip(reports, cases, strict=True)
        ],
    }
