"""`bnproof render`: the pages of a ledger, made again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def render(
    ledger: Annotated[Path, typer.Argument(help="A ledger.jsonl or ledger.jsonl.gz of a report or a matrix.")],
    out: Annotated[
        Path | None, typer.Option(help="Where the pages go; by default beside the ledger.", metavar="DIR")
    ] = None,
) -> None:
    """The pages of a ledger: index.html, and report.md or matrix.md."""
    from harness.cli.output import say
    from harness.errors import ensure_installed
    from harness.record.read import PAGES

    ensure_installed("making pages", PAGES, "report")
    from harness.cli.companion import of_records
    from reports.render import render as make_pages

    page = make_pages(ledger, out or ledger.parent, companion_of=of_records)
    say(f"page: {page}")
