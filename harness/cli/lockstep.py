"""`bnproof lockstep`: how far apart do trainings get that start alike?"""

from __future__ import annotations

from typing import Annotated

import typer

from harness.cli.options import Data, Device, Json, Seed


def lockstep(
    steps: Annotated[int, typer.Option(help="How many batches of 256; 2350 are ten epochs.", min=1)] = 235,
    dtype: Annotated[str, typer.Option(help="float64 or float32.")] = "float64",
    bn: Annotated[
        str | None,
        typer.Option("--bn", help="Put this target's batch norm into the NumPy network instead.", metavar="TARGET"),
    ] = None,
    activations: Annotated[
        bool, typer.Option("--activations", help="Compare what every layer passes on as well.")
    ] = False,
    replicas: Annotated[
        int, typer.Option(help="Compare each framework with its training by so many replicas.", min=1, metavar="R")
    ] = 1,
    device: Device = Device.cpu,
    data: Data = None,
    seed: Seed = 0,
    json_file: Json = None,
) -> None:
    """Train the frameworks from the same start: how far apart do weights, statistics and gradients get?"""
    from harness.cli import run_commands
    from harness.train.implementations import REPLICATED, installed
    from harness.train.options import LockstepOptions

    names = installed() if replicas == 1 else installed(REPLICATED)
    options = LockstepOptions(names, steps, dtype, seed, device.value, bn, activations, replicas)
    raise typer.Exit(run_commands.lockstep(options, data, json_file))
