"""What was judged of a target as a record: for a ledger, for `check --json`, and for a caller in Python."""

from __future__ import annotations

from typing import Any

from harness.judge.basis import basis
from harness.judge.coverage import not_judged
from harness.judge.judgement import Judgement, counts
from harness.judge.report import TargetReport
from harness.record.kinds import CheckedTarget, JudgedConventions, JudgementOn, TargetRecord, TargetVerdict
from harness.record.ledger import plain
from harness.targets.built_in import BUILT_IN
from harness.targets.device import split_device
from harness.targets.through.names import split_through

OF_THE_MATRIX = ("what", "probed", "unseen", "observed", "seconds")
"""The fields of a target's record that the matrix alone fills."""


def target_record(report: TargetReport) -> TargetRecord:
    """A target without its comparisons."""
    return TargetRecord(**about(report))


def checked_target(report: TargetReport) -> CheckedTarget:
    """A target with its comparisons."""
    return CheckedTarget(**about(report), cases=tuple(judgement_on(report, each) for each in report.judgements))


def about(report: TargetReport) -> dict[str, Any]:
    """The fields of a target's record that are known after a suite."""
    description = report.description
    conventions = None
    if report.conventions is not None:
        conventions = JudgedConventions(**report.conventions.as_dict(), source=report.source)
    return {
        "target": report.target,
        "conventions": conventions,
        "verdict": TargetVerdict(report.verdict),
        "error": report.load_error,
        "device": description.device if description else None,
        "summation": description.summation if description else None,
        "language": description.language if description else "",
        "library": library_of(report.target),
        "versions": description.versions if description else {},
        "counts": counts(report.judgements),
        "diagnosis": tuple(report.diagnosis),
        "notes": tuple(report.notes),
        "basis": basis(report),
        "not_judged": not_judged(report),
        "through": split_through(report.target)[1] or None,
    }


def library_of(target: str) -> str:
    """Whose a built-in target is, on whatever device; empty for any other."""
    name = split_device(target)[0]
    return BUILT_IN[name].library if name in BUILT_IN else ""


def judgement_on(report: TargetReport, judgement: Judgement) -> JudgementOn:
    """A judgement, and the device that it was made on: a verdict holds there alone."""
    return JudgementOn(**vars(judgement), device=report.description.device if report.description else None)


def target_as_dict(report: TargetReport) -> dict[str, Any]:
    """A target for JSON and the ledger, without its cases."""
    return {name: plain(value) for name, value in vars(target_record(report)).items() if name not in OF_THE_MATRIX}


def comparison_as_dict(report: TargetReport, judgement: Judgement) -> dict[str, Any]:
    return vars(judgement_on(report, judgement))
