"""`bnproof history`: a library's batch norms over its releases, each release in an environment of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import Jobs, Json, On, Resume, Seed, Suite, ensure_here


def history(
    library: Annotated[str, typer.Argument(help="As pip names it: flax, keras, onnx, tinygrad, ...")],
    versions: Annotated[
        list[str] | None,
        typer.Argument(metavar="[VERSION...]", help="0.8, 0.8.5, latest, or a range of series: 0.8 .. latest."),
    ] = None,
    suite: Annotated[Suite, typer.Option(help="full takes a minute or two a release.")] = Suite.full,
    seed: Seed = 0,
    out: Annotated[Path, typer.Option(help="Where the ledger goes; a matrix that is there shows the history.")] = Path(
        "reports/published/matrix"
    ),
    resume: Resume = None,
    jobs: Jobs = None,
    on: On = None,
    json_file: Json = None,
) -> None:
    """Where each finding began and ended: a library's batch norms over its releases.

    Each release is installed into an environment of its own, beside what else there was at its time; `bnproof envs`
    shows and removes them.
    """
    from harness.cli.output import prepare_folder
    from harness.cli.over_releases import HistoryOptions, make
    from harness.jobs.engines import workers_of

    options = HistoryOptions(out, suite.value, seed, json_file, workers_of(jobs, on), resume)
    ensure_here(resume, on)
    prepare_folder(out)
    raise typer.Exit(make(library, versions or ["latest"], options))
