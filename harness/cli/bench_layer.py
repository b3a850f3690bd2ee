"""`bnproof bench layer`: ours against the frameworks' own."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from harness.cli.options import Device, Json
from harness.errors import UsageError


class Framework(StrEnum):
    torch = "torch"
    jax = "jax"


class Layout(StrEnum):
    first = "channels first"
    last = "channels last"


class Dtype(StrEnum):
    float32 = "float32"
    bfloat16 = "bfloat16"


class Mode(StrEnum):
    training = "training"
    prediction = "prediction"


class Way(StrEnum):
    forward = "forward"
    backward = "backward"
    both = "both"


Some = TypeVar("Some", bound=StrEnum)


def bench_layer(
    frameworks: Annotated[list[Framework] | None, typer.Option("--framework", help="Both by default.")] = None,
    shapes: Annotated[
        list[str] | None, typer.Option("--shape", help="N,C or N,C,H,W; seven by default.", metavar="N,C,...")
    ] = None,
    large: Annotated[bool, typer.Option("--large", help="As well one of 205 MB, 256,64,56,56.")] = False,
    growth: Annotated[bool, typer.Option("--growth", help="Sweeps over N and over C, no other shapes.")] = False,
    layouts: Annotated[list[Layout] | None, typer.Option("--layout", help="Both by default.")] = None,
    dtypes: Annotated[list[Dtype] | None, typer.Option("--dtype", help="float32 by default.")] = None,
    modes: Annotated[list[Mode] | None, typer.Option("--mode", help="Training by default.")] = None,
    ways: Annotated[list[Way] | None, typer.Option("--way", help="Both in one call by default.")] = None,
    rounds: Annotated[int, typer.Option(help="Paired rounds after warm-up.", min=1)] = 9,
    device: Device = Device.cpu,
    threads: Annotated[int | None, typer.Option(help="Of the CPU; all by default.", min=1, metavar="N")] = None,
    seconds: Annotated[float, typer.Option(help="Of calls in a round.", min=0.0001)] = 0.05,
    json_file: Json = None,
    plot: Annotated[Path | None, typer.Option(help="A figure: .svg, .png or .pdf.", metavar="FILE")] = None,
) -> None:
    """Our layers against the frameworks' own, a chain of small operations, and a copy of x.

    Every combination of what is asked for: each option may be given several times.
    """
    from harness.bench.growth import SHAPES as GROWING
    from harness.bench.options import LARGE, LAYER_SHAPES, LayerOptions
    from harness.cli import run_commands

    chosen = GROWING if growth else tuple(map(numbers, shapes or ())) or (() if large else LAYER_SHAPES)
    options = LayerOptions(
        rounds=rounds,
        device=device.value,
        frameworks=values(frameworks, tuple(Framework)),
        shapes=chosen + ((LARGE,) if large else ()),
        layouts=values(layouts, tuple(Layout)),
        dtypes=values(dtypes, (Dtype.float32,)),
        modes=values(modes, (Mode.training,)),
        ways=values(ways, (Way.both,)),
        threads=threads,
        seconds=seconds,
    )
    raise typer.Exit(run_commands.bench_layer(options, json_file, plot))


def values(chosen: list[Some] | None, default: tuple[Some, ...]) -> tuple[str, ...]:
    return tuple(option.value for option in chosen or default)


def numbers(shape: str) -> tuple[int, ...]:
    """ "256,6,24,24" -> (256, 6, 24, 24); "256x6x24x24" as well. Raises UsageError where that is no shape."""
    try:
        parsed = tuple(int(part) for part in shape.replace("x", ",").split(","))
    except ValueError:
        parsed = ()
    if len(parsed) not in (2, 4) or min(parsed) < 1:
        raise UsageError(f"--shape takes two or four positive numbers, as 256,6,24,24, got {shape!r}")
    return parsed
