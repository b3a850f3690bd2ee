"""`bnproof bench`: how fast is a layer, a whole training, this suite?"""

from __future__ import annotations

from typing import Annotated

import typer

from harness.cli.bench_layer import bench_layer
from harness.cli.options import Data, Device, Json, Seed, Suite

bench = typer.Typer(no_args_is_help=True, help="How fast: a layer, whole trainings, or this suite itself.")
bench.command("layer")(bench_layer)
Rounds = Annotated[int, typer.Option(help="Paired rounds after warm-up.", min=1)]


@bench.command("training")
def bench_training(
    rounds: Rounds = 9,
    compiled: Annotated[bool, typer.Option("--compile", help="PyTorch's steps compiled as well.")] = False,
    device: Device = Device.cpu,
    data: Data = None,
    seed: Seed = 0,
    json_file: Json = None,
) -> None:
    """The trainings against the tutorial's own loop, in paired rounds with an A/A control."""
    from harness.bench.options import ThroughputOptions
    from harness.cli import run_commands

    options = ThroughputOptions(rounds, device.value, compiled, seed)
    raise typer.Exit(run_commands.bench_training(options, data, json_file))


@bench.command("suite")
def bench_suite(
    targets: Annotated[list[str] | None, typer.Argument(metavar="TARGET...", help="Built-in ones by default.")] = None,
    suite: Annotated[Suite, typer.Option(help="quick answers in seconds.")] = Suite.quick,
    rounds: Rounds = 1,
    json_file: Json = None,
) -> None:
    """How long the checks take, target by target."""
    from harness.cli import run_commands

    raise typer.Exit(run_commands.bench_suite(targets or [], suite.value, rounds, json_file))
