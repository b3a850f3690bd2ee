"""`bnproof badge`: a verdict as a picture for a README."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.judge.report import TargetReport


def badge(
    results: Annotated[
        Path, typer.Argument(metavar="FILE", help="A ledger.jsonl, or what `bnproof check --json` wrote.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Where the SVG goes.", metavar="FILE")] = Path("badge.svg"),
    target: Annotated[
        str | None, typer.Option(help="Of which target; of all together where none is named.", metavar="TARGET")
    ] = None,
    version: Annotated[
        str, typer.Option("--of", help="What was judged, such as 'mylib 1.2', if the file does not tell.")
    ] = "",
) -> None:
    """A local SVG with the verdict and the version that it holds for."""
    from harness.cli.output import say
    from harness.record.files import write_whole
    from reports.badge import badge as make_badge
    from reports.badge import chosen, subjects_in

    subjects = chosen(subjects_in(results), target, results)
    write_whole(out, make_badge(subjects, version))
    say(f"badge: {out}")


def badge_of(reports: Sequence[TargetReport]) -> str:
    """The badge of what `check` has just judged."""
    from harness.record.checked import target_record
    from reports.badge import Subject
    from reports.badge import badge as make_badge

    records = map(target_record, reports)
    return make_badge([Subject(each.target, each.verdict, each.versions, each.library) for each in records])
