"""`bnproof matrix`: every library that comes with a target, judged and compared."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import Seed, Suite


def matrix(
    suite: Annotated[Suite, typer.Option(help="quick answers in a minute or two.")] = Suite.full,
    seed: Seed = 0,
    out: Annotated[Path, typer.Option(help="Where the pages and the ledger go.")] = Path("reports/published/matrix"),
    here: Annotated[bool, typer.Option("--here", help="Only what is installed here; install nothing.")] = False,
) -> None:
    """Every library, judged and compared: index.html, matrix.md, ledger.jsonl.

    What is not installed here is installed into environments in the user's cache, which `bnproof envs` shows and
    removes.
    """
    from harness.cli.every_library import make
    from harness.cli.output import prepare_folder

    prepare_folder(out)
    raise typer.Exit(make(out, suite.value, seed, here))
