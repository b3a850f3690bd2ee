"""What the command line prints: tables and bars by Rich. It decides nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from harness.judge.judgement import Judgement, Kind, Verdict, counts
from harness.judge.report import TargetReport
from harness.observables import column

COLOURS = {"agree": "green", "inconclusive": "yellow", "unsupported": "yellow", "not_run": "yellow"}
FAILURES_SHOWN = 5

out = Console()
err = Console(stderr=True)


def coloured(verdict: str) -> str:
    return f"[{COLOURS.get(verdict, 'red')}]{verdict}[/]"


@contextlib.contextmanager
def bar(description: str, total: int | None) -> Iterator[Any]:
    """A progress bar on stderr: yields a function update(completed, description=None)."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task(description, total=total)

        def update(completed: int | None = None, description: str | None = None, advance: int | None = None) -> None:
            if advance is not None:
                progress.advance(task, advance)
            if completed is not None:
                progress.update(task, completed=completed)
            if description is not None:
                progress.update(task, description=escape(description))

        yield update


def report(one: TargetReport) -> None:
    """A target's verdict first, then why."""
    if one.load_error:
        err.print(f"[red]error:[/] {escape(one.load_error)}", soft_wrap=True)
        return
    number = counts(one.judgements)
    told = ", ".join(f"{n} {verdict}" for verdict, n in number.items() if n)
    out.print(f"[bold]{escape(one.target)}[/]: {coloured(one.verdict)}  [dim]({told})[/]", soft_wrap=True)
    out.print(f"  conventions ({escape(one.source)}): {conventions_line(one)}", highlight=False, soft_wrap=True)
    worst = worst_ratios(one.judgements)
    if worst:
        pieces = [f"{name} {ratio:.2g}" for name, ratio in worst.items()]
        out.print("  largest error/bound: " + ", ".join(pieces), highlight=False, soft_wrap=True)
    for finding in one.diagnosis:
        out.print(f"  [red]{finding.id}[/]: {escape(finding.text)}", soft_wrap=True)
    for note in one.notes:
        out.print(f"  [yellow]note[/] {note.id}: {escape(note.text)}", soft_wrap=True)
    failures(one.judgements)


def conventions_line(one: TargetReport) -> str:
    if one.conventions is None:
        return "unknown"
    return escape(", ".join(f"{name}={value}" for name, value in one.conventions.as_dict().items()))


def worst_ratios(judgements: list[Judgement]) -> dict[str, float]:
    """The largest error/bound of each observable among the law judgements that prove something."""
    worst: dict[str, float] = {}
    for one in judgements:
        if (
            one.kind is Kind.law
            and one.verdict in (Verdict.agree, Verdict.differ)
            and one.ratio is not None
            and one.observable
        ):
            name = column(one.observable, one.op)
            worst[name] = max(worst.get(name, 0.0), one.ratio)
    return worst


def failures(judgements: list[Judgement]) -> None:
    """The law judgements that failed, a line each: the worst of each case first, and only so many."""
    worst: dict[tuple[str, str], Judgement] = {}
    failed = [one for one in judgements if one.counts_against]
    for one in failed:
        key = (one.case, one.dtype)
        if key not in worst or (one.ratio or 0) > (worst[key].ratio or 0):
            worst[key] = one
    for one in list(worst.values())[:FAILURES_SHOWN]:
        out.print(f"    [dim]{failure_line(one)}[/]", highlight=False, soft_wrap=True)
    if len(worst) > FAILURES_SHOWN:
        rest = len(worst) - FAILURES_SHOWN
        out.print(f"    [dim]and {rest} more cases; --json FILE has every comparison[/]", highlight=False)


def failure_line(one: Judgement) -> str:
    step = "" if one.step is None else f", step {one.step} ({one.op})"
    where = f"{one.case} in {one.dtype}{step}"
    if one.ratio is None:
        return escape(f"{where}: {one.verdict}: {one.message}")
    place = f"{one.observable}{one.index}"
    return escape(f"{where}: {place} is {one.got:.9g}, not {one.want:.9g}: {one.ratio:.3g} bounds away")
