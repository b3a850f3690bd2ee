"""`bnproof check --markdown FILE`: the verdicts as Markdown that a hosted CI can show as a job's summary."""

from __future__ import annotations

from collections.abc import Sequence

from harness.cli.failures import difference
from harness.cli.show import worst_ratios
from harness.judge.basis import basis
from harness.judge.coverage import not_judged
from harness.judge.judgement import counts
from harness.judge.report import TargetReport, worst_of_each_case
from reports.formats import markdown_text, short

FAILURES_SHOWN = 10
MARKS = {"agree": "✓", "known": "✓"}


def summary(reports: Sequence[TargetReport], outdated: Sequence[str]) -> str:
    """A table of targets, then why each of those that differ does."""
    lines = ["## bnproof", "", "| target | verdict | comparisons | largest error/bound |", "|---|---|---|---|"]
    lines += [row(report) for report in reports]
    for report in reports:
        details = details_of(report)
        if details:
            lines += ["", f"### {markdown_text(report.target)}", "", *details]
    if outdated:
        lines += ["", "### Known differences that no longer differ", ""]
        lines += [f"- {markdown_text(case)}" for case in outdated]
    return "\n".join(lines) + "\n"


def row(report: TargetReport) -> str:
    compared = ", ".join(f"{count} {verdict}" for verdict, count in counts(report.judgements).items() if count)
    worst = ", ".join(f"{name} {short(ratio)}" for name, ratio in worst_ratios(report.judgements).items())
    verdict = ", ".join(filter(None, [report.verdict, basis(report), not_judged(report)]))
    mark = MARKS.get(report.verdict, "✗")
    return f"| {markdown_text(report.target)} | {mark} {markdown_text(verdict)} | {compared} | {markdown_text(worst)} |"


def details_of(report: TargetReport) -> list[str]:
    if report.load_error:
        return [f"- error: {markdown_text(report.load_error)}"]
    lines = [f"- ✗ **{markdown_text(finding.id)}**: {markdown_text(finding.text)}" for finding in report.diagnosis]
    lines += [f"- note **{markdown_text(note.id)}**: {markdown_text(note.text)}" for note in report.notes]
    failed = worst_of_each_case(report.judgements)
    for judgement in failed[:FAILURES_SHOWN]:
        where = f"{judgement.case} in {judgement.dtype}" + (f", {judgement.op}" if judgement.op else "")
        lines.append(f"- {markdown_text(where)}: {markdown_text(difference(judgement))}")
    if len(failed) > FAILURES_SHOWN:
        lines.append(f"- and {len(failed) - FAILURES_SHOWN} more")
    return lines
