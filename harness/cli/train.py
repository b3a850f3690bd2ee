"""`bnproof train`: LeNet on Fashion-MNIST."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import Data, Device, Jobs, Json, On, Seed


class Impl(StrEnum):
    numpy = "numpy"
    torch = "torch"
    jax = "jax"
    all = "all"


def train(
    impl: Annotated[Impl, typer.Option(help="Which implementation.")] = Impl.all,
    epochs: Annotated[int, typer.Option(min=1)] = 10,
    seeds: Annotated[int, typer.Option(help="How many seeds, one run each.", min=1)] = 1,
    device: Device = Device.auto,
    data: Data = None,
    seed: Seed = 0,
    out: Annotated[Path, typer.Option(help="Folder for the picture of the curves.")] = Path("reports/out"),
    resume: Annotated[
        Path | None,
        typer.Option(help="Keep a checkpoint an epoch here, and continue from it.", metavar="DIR"),
    ] = None,
    compiled: Annotated[bool, typer.Option("--compile", help="Compile PyTorch's steps.")] = False,
    population: Annotated[
        bool, typer.Option("--population", help="Test accuracy also by statistics of the whole training set.")
    ] = False,
    replicas: Annotated[
        int, typer.Option(help="Train by so many replicas, each on a shard of every batch.", min=1, metavar="R")
    ] = 1,
    jobs: Jobs = None,
    on: On = None,
    json_file: Json = None,
) -> None:
    """Train LeNet on Fashion-MNIST: loss, accuracies, examples a second, and the curves as a picture.

    With --replicas each replica is a process, joined by torchrun's launcher or by jax.distributed; a rank that dies or
    hangs ends the run.
    With --jobs or --on the seeds are trained side by side; their examples a second are then not those of one alone.
    """
    from harness.cli import run_commands
    from harness.jobs.engines import workers_of
    from harness.train.options import TrainingOptions

    options = TrainingOptions(
        impl.value,
        epochs,
        seed,
        device.value,
        resume=resume,
        compiled=compiled,
        population=population,
        replicas=replicas,
    )
    request = run_commands.TrainRequest(seeds, data, out, json_file, workers_of(jobs, on))
    raise typer.Exit(run_commands.train(options, request))
