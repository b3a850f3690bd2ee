"""`bnproof matrix`: every library that comes with a target, judged and compared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import Jobs, On, Resume, Seed, Suite, TargetDevice, ensure_here


def matrix(
    targets: Annotated[
        list[str] | None, typer.Argument(metavar="[TARGET...]", help="Only these, as `bnproof list` names them.")
    ] = None,
    suite: Annotated[Suite, typer.Option(help="quick answers in a minute or two.")] = Suite.full,
    seed: Seed = 0,
    out: Annotated[Path, typer.Option(help="Where the pages and the ledger go.")] = Path("reports/published/matrix"),
    here: Annotated[bool, typer.Option("--here", help="Only what is installed here; install nothing.")] = False,
    device: Annotated[
        TargetDevice, typer.Option(help="Where the targets compute: cuda leaves out those that cannot.")
    ] = TargetDevice.cpu,
    resume: Resume = None,
    jobs: Jobs = None,
    on: On = None,
) -> None:
    """Every library, judged and compared: index.html, matrix.md, ledger.jsonl.

    What is not installed here is installed into environments in the user's cache, which `bnproof envs` shows and
    removes. Two libraries are judged at a time, unless --jobs or --on says otherwise; on a cluster "here" is wherever
    a worker is.
    """
    from harness.cli.every_library import AT_ONCE, MatrixOptions, make
    from harness.cli.output import prepare_folder
    from harness.errors import ensure_installed
    from harness.jobs.engines import workers_of
    from harness.record.read import PAGES
    from harness.targets.built_in import computing_on
    from harness.targets.device import targets_on

    ensure_here(resume, on)
    ensure_installed("a matrix", PAGES, "report")
    options = MatrixOptions(out, suite.value, seed, here, workers=workers_of(jobs, on, usual=AT_ONCE), resume=resume)
    prepare_folder(out)
    names = targets_on(device.value, tuple(targets)) if targets else computing_on(device.value)
    raise typer.Exit(make(replace(options, targets=names)))
