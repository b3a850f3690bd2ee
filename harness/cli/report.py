"""`bnproof report`: everything, as a page and a ledger."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import Data, Device, Jobs, On, Seed


def report(
    open_: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    quick: Annotated[bool, typer.Option(help="The quick suite and one epoch.")] = False,
    seeds: Annotated[int, typer.Option(help="How many seeds to train with.", min=1)] = 1,
    steps: Annotated[int, typer.Option(help="Lockstep: how many batches; 2350 are ten epochs.", min=1)] = 235,
    resume: Annotated[
        Path | None, typer.Option(help="Keep what is done in this folder, and continue from it.", metavar="DIR")
    ] = None,
    jobs: Jobs = None,
    on: On = None,
    device: Device = Device.auto,
    data: Data = None,
    seed: Seed = 0,
    out: Annotated[Path, typer.Option(help="Where index.html, report.md and ledger.jsonl go.")] = Path("reports/out"),
) -> None:
    """Everything: agreement, pairs, lockstep, training, throughput; as HTML, Markdown and a ledger.

    With --jobs or --on the trainings, and they alone, are done side by side.
    """
    from harness.cli.full_report import make
    from harness.cli.output import prepare_folder
    from harness.cli.report_runs import Extent
    from harness.cli.run_commands import load_data
    from harness.errors import ensure_installed
    from harness.jobs.engines import open_engine, workers_of

    if seeds > 1:
        ensure_installed("several seeds", ["scipy"], "report")
    workers = workers_of(jobs, on)
    with open_engine(workers):  # a scheduler that does not answer is an error now, not after the checks
        pass
    prepare_folder(out)
    if resume:
        prepare_folder(resume, "--resume")
    extent = Extent(quick, seeds, steps, resume, workers)
    page, status = make(out, extent=extent, device=device.value, data=load_data(data), seed=seed)
    if open_:
        import webbrowser

        webbrowser.open(page.resolve().as_uri())
    raise typer.Exit(status)
