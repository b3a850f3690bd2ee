"""What reports amount to: an exit status, and the JSON of `check --json` and of a ledger's targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from harness.cli.output import AGREED, DIED, FAULTY, NOTHING_JUDGED, USAGE
from harness.judge.basis import basis
from harness.judge.coverage import not_judged, training_gave_nothing
from harness.judge.judgement import Judgement, Verdict, counts
from harness.judge.report import TargetReport
from harness.record.environment import environment
from harness.record.ledger import SCHEMA
from harness.targets.built_in import BUILT_IN
from harness.targets.device import split_device
from harness.targets.through.names import split_through


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


def target_as_dict(report: TargetReport) -> dict[str, Any]:
    """A target for JSON and the ledger, without its cases."""
    conventions = None
    if report.conventions is not None:
        conventions = report.conventions.as_dict() | {"source": report.source}
    return {
        "target": report.target,
        "conventions": conventions,
        "verdict": report.verdict,
        "error": report.load_error,
        "device": report.description.device if report.description else None,
        "summation": report.description.summation if report.description else None,
        "language": report.description.language if report.description else "",
        "library": library_of(report.target),
        "versions": report.description.versions if report.description else {},
        "counts": counts(report.judgements),
        "diagnosis": [asdict(finding) for finding in report.diagnosis],
        "notes": [asdict(note) for note in report.notes],
        "basis": basis(report),
        "not_judged": not_judged(report),
        "through": split_through(report.target)[1] or None,
    }


def library_of(target: str) -> str:
    """Whose a built-in target is, on whatever device; empty for any other."""
    name = split_device(target)[0]
    return BUILT_IN[name].library if name in BUILT_IN else ""


def comparison_as_dict(report: TargetReport, judgement: Judgement) -> dict[str, Any]:
    """A judgement, and the device that it was made on: a verdict holds there alone."""
    return judgement.as_dict() | {"device": report.description.device if report.description else None}


def as_json(reports: Sequence[TargetReport]) -> dict[str, Any]:
    cases = [[comparison_as_dict(report, judgement) for judgement in report.judgements] for report in reports]
    return {
        "schema": SCHEMA,
        "environment": environment(),
        "targets": [
            target_as_dict(report) | {"cases": of_target} for report, of_target in zip(reports, cases, strict=True)
        ],
    }
