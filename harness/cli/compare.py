"""`bnproof compare`: what changed between two files of results, for a library's upgrade."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.options import Json

if TYPE_CHECKING:
    from reports.compare import Comparisons, TargetChange

EXIT_STATUSES = """\b
Exit status:
  0  nothing is worse
  1  a target is worse: its verdict, a new mistake, a comparison that differs or is not judged any more, or it is gone
  2  usage, or a file that cannot be read or written"""
SHOWN = 6
"""Comparisons of a target, on the screen."""


def compare(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="A ledger, or what `bnproof check --json` wrote.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="Another one, of the same targets.")],
    markdown: Annotated[
        Path | None, typer.Option(help="Write one screen of Markdown, for a pull request.", metavar="FILE")
    ] = None,
    junit: Annotated[
        Path | None, typer.Option(help="Write a test case a target, as JUnit does.", metavar="FILE")
    ] = None,
    annotations: Annotated[
        bool, typer.Option("--annotations", help="Print what is worse as GitHub's annotations.")
    ] = False,
    json_file: Json = None,
) -> None:
    """What changed between two runs: which targets are worse, which are better, and where."""
    from harness.cli.output import AGREED, FAULTY, write_json
    from harness.record.files import ensure_writable, write_whole
    from harness.record.ledger import plain
    from harness.record.results import results_in
    from reports.compare import compare as compare_results
    from reports.compare_text import as_markdown, as_output

    for file in filter(None, (markdown, junit, json_file)):
        ensure_writable(file)
    comparisons = compare_results(results_in(old), results_in(new))
    show(comparisons)
    write_json(json_file, plain(as_output(comparisons)))
    if markdown:
        write_whole(markdown, as_markdown(comparisons))
    if junit:
        from harness.cli.junit import of_comparisons

        write_whole(junit, of_comparisons(comparisons))
    if annotations:
        from harness.cli.annotations import of_comparisons as annotations_of

        print(*annotations_of(comparisons), sep="\n")
    raise typer.Exit(FAULTY if comparisons.is_worse else AGREED)


def show(comparisons: Comparisons) -> None:
    """The sentence, then a line for what changed about each target, and why."""
    from harness.cli.output import out

    out.print(comparisons.sentence, style="bold", markup=False, highlight=False, soft_wrap=True)
    for change in comparisons.changed:
        show_target(change)


def show_target(change: TargetChange) -> None:
    from harness.cli.output import out
    from reports.compare import Change, details
    from reports.compare_text import MARKS, ratio_words
    from reports.formats import printable

    colours = {Change.worse: "red", Change.better: "green"}
    versions = f"  [{', '.join(change.versions)}]" if change.versions else ""
    verdicts = f"{change.verdicts}, largest error/bound {ratio_words(change)}"
    head = f"{MARKS[change.change]} {change.target}: {verdicts}{versions}"
    out.print(printable(head), style=colours.get(change.change), markup=False, highlight=False, soft_wrap=True)
    for line in details(change, SHOWN):
        out.print(f"    {printable(line)}", style="dim", markup=False, highlight=False, soft_wrap=True)
