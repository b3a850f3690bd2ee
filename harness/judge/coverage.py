"""What of a target was not judged: a verdict says so, lest `agree` be read as more than was seen."""

from __future__ import annotations

from harness.judge.judgement import Judgement, Kind, Reason, Verdict
from harness.judge.report import TargetReport
from harness.observables import STATISTICS, STEP, column

MODES = {"train": "training", "eval": "prediction"}
COMPARED = (Verdict.agree, Verdict.differ, Verdict.inconclusive, Verdict.known)


def judged_modes(report: TargetReport) -> set[str]:
    """The modes ("train", "eval") in which something was compared, or raised where a result is owed."""
    return {judgement.op for judgement in report.judgements if judgement.op in MODES and was_judged(judgement)}


def was_judged(judgement: Judgement) -> bool:
    compared = judgement.observable is not None and judgement.verdict in COMPARED
    return judgement.kind is Kind.law and (compared or judgement.counts_against)


def training_gave_nothing(report: TargetReport) -> bool:
    """Whether the target trained and gave nothing back by which that can be judged. One that says it cannot is fine."""
    return gave_nothing(report, "train")


def gave_nothing(report: TargetReport, mode: str) -> bool:
    called = any(judgement.op == mode and judgement.reason is Reason.not_given for judgement in report.judgements)
    return called and mode not in judged_modes(report)


def not_judged(report: TargetReport) -> str:
    """What belongs after a verdict: "judged in prediction only: train gave nothing", "not given: dgamma".

    "" where everything was judged, or nothing.
    """
    modes = judged_modes(report)
    asked = {judgement.op for judgement in report.judgements if judgement.op in MODES}
    if not modes:
        return ""
    pieces = []
    for mode in sorted(asked - modes, reverse=True):
        other = next(iter(modes))
        why = f": {mode} gave nothing" if gave_nothing(report, mode) else ""
        pieces.append(f"judged in {MODES[other]} only{why}")
    missing = missing_observables(report, modes)
    if missing:
        pieces.append(f"not given: {', '.join(missing)}")
    return "; ".join(pieces)


def missing_observables(report: TargetReport, modes: set[str]) -> list[str]:
    """As columns are headed, those that no step of a judged mode gave."""
    judged = {(j.observable, j.op) for j in report.judgements if j.observable and j.verdict is not Verdict.unsupported}
    of_steps = [column(name, mode) for mode in MODES if mode in modes for name in STEP if (name, mode) not in judged]
    shown = {name for name, _ in judged}
    return of_steps + [name for name in STATISTICS if name not in shown]
