"""`bnproof check --markdown FILE`: the verdicts as Markdown that a hosted CI can show as a job's summary."""

from __future__ import annotations

from harness.cli.show import worst_ratios
from harness.judge.judgement import counts
from harness.judge.report import TargetReport
from reports.formats import markdown_text

FAILURES_SHOWN = 10
SIGN = {"agree": "✓"}


def summary(reports: list[TargetReport], stale: list[str]) -> str:
    """A table of targets, then why each of those that differ does."""
    lines = ["## bnproof", "", "| target | verdict | comparisons | largest error/bound |", "|---|---|---|---|"]
    for one in reports:
        told = ", ".join(f"{n} {verdict}" for verdict, n in counts(one.judgements).items() if n)
        worst = ", ".join(f"{name} {ratio:.2g}" for name, ratio in worst_ratios(one.judgements).items())
        sign = SIGN.get(one.verdict, "✗")
        lines.append(
            f"| {markdown_text(one.target)} | {sign} {markdown_text(one.verdict)} | {told} | {markdown_text(worst)} |"
        )
    for one in reports:
        details = _details(one)
        if details:
            lines += ["", f"### {markdown_text(one.target)}", "", *details]
    if stale:
        lines += [
            "",
            "### Known differences that no longer differ",
            "",
            *(f"- {markdown_text(case)}" for case in stale),
        ]
    return "\n".join(lines) + "\n"


def _details(one: TargetReport) -> list[str]:
    if one.load_error:
        return [f"- error: {markdown_text(one.load_error)}"]
    lines = [f"- ✗ **{markdown_text(found.id)}**: {markdown_text(found.text)}" for found in one.diagnosis]
    lines += [f"- note **{markdown_text(note.id)}**: {markdown_text(note.text)}" for note in one.notes]
    failed = {(j.case, j.dtype): j for j in one.judgements if j.counts_against}
    for j in list(failed.values())[:FAILURES_SHOWN]:
        said = (
            j.message if j.ratio is None else f"{j.observable} is {j.got:.9g}, not {j.want:.9g}: {j.ratio:.3g} bounds"
        )
        lines.append(f"- {markdown_text(j.case)} in {j.dtype}, {j.op}: {markdown_text(said)}")
    if len(failed) > FAILURES_SHOWN:
        lines.append(f"- and {len(failed) - FAILURES_SHOWN} more cases")
    return lines
