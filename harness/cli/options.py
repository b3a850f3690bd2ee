"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Suite(StrEnum):
    quick = "quick"
    full = "full"


class Device(StrEnum):
    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class TargetDevice(StrEnum):
    """Where targets compute: nobody chooses for the user, since a verdict holds there alone."""

    cpu = "cpu"
    cuda = "cuda"


Python = Annotated[
    str | None,
    typer.Option(
        help="Play targets in this environment: its folder, or an interpreter. It needs NumPy.", metavar="ENV"
    ),
]
Jobs = Annotated[
    int | None, typer.Option(help="How many processes of this machine do the work side by side.", min=1, metavar="N")
]
On = Annotated[
    str | None,
    typer.Option(help="A Dask cluster's workers do the work: tcp://HOST:PORT of its scheduler.", metavar="SCHEDULER"),
]
Resume = Annotated[
    Path | None,
    typer.Option(help="Keep what is done in this folder, and go on from it after a kill.", metavar="DIR"),
]
Json = Annotated[Path | None, typer.Option("--json", help="Write the result as one JSON object.", metavar="FILE")]
Data = Annotated[Path | None, typer.Option("--data", help="Folder of the four Fashion-MNIST files.", metavar="DIR")]
Seed = Annotated[int, typer.Option(help="Fixes every random number.", min=0)]


def ensure_here(resume: Path | None, scheduler: str | None) -> None:
    """Raises UsageError where answers are to be kept and cannot be, or the work is done on other machines."""
    from harness.cli.output import prepare_folder
    from harness.errors import UsageError

    if resume is None:
        return
    if scheduler is not None:
        raise UsageError("--resume keeps answers on this machine, and --on does the work on others: choose one")
    prepare_folder(resume, "--resume")
