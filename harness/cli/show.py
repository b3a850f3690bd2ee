"""What `bnproof check` prints of a target. It decides nothing."""

from __future__ import annotations

from rich.markup import escape

from harness.cli.failures import failure_lines
from harness.cli.output import coloured, err, out
from harness.cli.request import CheckRequest
from harness.judge.basis import basis
from harness.judge.coverage import not_judged
from harness.judge.judgement import Judgement, Kind, Verdict, counts
from harness.judge.report import TargetReport
from harness.observables import column
from reports.formats import short


def report(report: TargetReport, request: CheckRequest) -> None:
    """The verdict first, then why, then the command that shows it again."""
    if report.load_error:
        err.print(f"[red]error:[/] {escape(report.load_error)}", soft_wrap=True)
        return
    listed = ", ".join(f"{count} {verdict}" for verdict, count in counts(report.judgements).items() if count)
    words = "".join(f", {escape(piece)}" for piece in (basis(report), not_judged(report)) if piece)
    out.print(
        f"[bold]{escape(report.target)}[/]: {coloured(report.verdict)}{words}  [dim]({listed})[/]",
        highlight=False,
        soft_wrap=True,
    )
    out.print(f"  conventions ({escape(report.source)}): {conventions_line(report)}", highlight=False, soft_wrap=True)
    worst = worst_ratios(report.judgements)
    if worst:
        pieces = [f"{name} {short(ratio)}" for name, ratio in worst.items()]
        out.print("  largest error/bound: " + ", ".join(pieces), highlight=False, soft_wrap=True)
    for finding in report.diagnosis:
        out.print(f"  [red]{finding.id}[/]: {escape(finding.text)}", soft_wrap=True)
    for note in report.notes:
        out.print(f"  [yellow]note[/] {note.id}: {escape(note.text)}", soft_wrap=True)
    for line in failure_lines(report, request):
        out.print(f"    {line}", style="dim", highlight=False, markup=False, soft_wrap=True)


def conventions_line(report: TargetReport) -> str:
    if report.conventions is None:
        return "unknown"
    pieces = [f"{name}={value}" for name, value in report.conventions.as_dict().items()]
    if report.description and report.description.summation != "any":
        pieces.append(f"summation={report.description.summation}")
    return escape(", ".join(pieces))


def worst_ratios(judgements: list[Judgement]) -> dict[str, float]:
    """The largest error/bound of each observable among the law judgements that prove something."""
    worst: dict[str, float] = {}
    for judgement in judgements:
        if judgement.kind is not Kind.law or judgement.verdict not in (Verdict.agree, Verdict.differ):
            continue
        if judgement.ratio is not None and judgement.observable:
            name = column(judgement.observable, judgement.op)
            worst[name] = max(worst.get(name, 0.0), judgement.ratio)
    return worst
