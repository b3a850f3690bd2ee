"""The command `bnproof`. Each command reads its options, calls one module, and chooses the exit status.

Frameworks and the suite are imported inside the commands: `--help` must answer at once.
"""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.output import USAGE, write_json

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Is this batch norm right? To how many ulps? If not, which known mistake does it make?",
)


class Suite(StrEnum):
    quick = "quick"
    full = "full"


class Impl(StrEnum):
    numpy = "numpy"
    torch = "torch"
    jax = "jax"
    all = "all"


class Device(StrEnum):
    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


Json = Annotated[Path | None, typer.Option("--json", help="Write the result as one JSON object.", metavar="FILE")]
Data = Annotated[Path | None, typer.Option("--data", help="Folder of the four Fashion-MNIST files.", metavar="DIR")]
Seed = Annotated[int, typer.Option(help="Fixes every random number.", min=0)]


@app.command("list")
def list_(json_file: Json = None) -> None:
    """Targets and cases, with what is installed."""
    from harness.cli import listing

    write_json(json_file, listing.as_dict())
    listing.show()


@app.command()
def check(
    targets: Annotated[list[str], typer.Argument(metavar="TARGET...", help="A name, module:attr or file.py:attr.")],
    suite: Annotated[Suite, typer.Option(help="quick answers in seconds.")] = Suite.full,
    case: Annotated[list[str] | None, typer.Option(help="Only this case (may be repeated).", metavar="ID")] = None,
    seed: Seed = 0,
    timeout: Annotated[float, typer.Option(help="Seconds a case may take.", min=0.1)] = 30.0,
    as_preset: Annotated[
        str | None, typer.Option("--as", help="Judge by this preset's conventions.", metavar="PRESET")
    ] = None,
    input_file: Annotated[
        Path | None, typer.Option("--input", help="Your own x (and dy, gamma, ...) in an .npz file.", metavar="NPZ")
    ] = None,
    layer: Annotated[
        str | None, typer.Option(help="Where in TARGET, a model, the layer is: 1, or block.norm.", metavar="PATH")
    ] = None,
    known: Annotated[
        Path | None, typer.Option(help="Known differences: lines 'case: reason'. Strict.", metavar="FILE")
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option(help="Write a summary in Markdown, for a CI to show.", metavar="FILE")
    ] = None,
    json_file: Json = None,
) -> None:
    """Judge batch norms: right, to how many ulps, and if not, which known mistake."""
    from harness.cli import commands

    status = commands.check(
        targets,
        suite.value, case, seed, timeout, as_preset, input_file, json_file, known_file=known, markdown_file=markdown,
        layer=layer or "",
    )  # fmt: skip
    raise typer.Exit(status)


@app.command()
def probe(target: str, json_file: Json = None) -> None:
    """The conventions of a batch norm, inferred from outside."""
    from harness.cli import commands

    raise typer.Exit(commands.probe(target, json_file))


@app.command()
def translate(
    source: Annotated[str, typer.Option("--from", help="The preset that the numbers come from.")],
    target: Annotated[str, typer.Option("--to", help="The preset to get the same behaviour in.")],
    settings: Annotated[list[str] | None, typer.Argument(metavar="NAME=NUMBER...")] = None,
    json_file: Json = None,
) -> None:
    """The constructor arguments that make one framework's layer behave like another's."""
    from harness.cli import commands

    raise typer.Exit(commands.translate(source, target, settings or [], json_file))


@app.command()
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
    device: Device = Device.cpu,
    data: Data = None,
    seed: Seed = 0,
    json_file: Json = None,
) -> None:
    """Train the frameworks from the same start: how far apart do weights, statistics and gradients get?"""
    from harness.cli import run_commands
    from harness.train.implementations import installed
    from harness.train.options import LockstepOptions

    options = LockstepOptions(installed(), steps, dtype, seed, device.value, bn, activations)
    raise typer.Exit(run_commands.lockstep(options, data, json_file))


@app.command()
def train(
    impl: Annotated[Impl, typer.Option(help="Which implementation.")] = Impl.all,
    epochs: Annotated[int, typer.Option(min=1)] = 10,
    seeds: Annotated[int, typer.Option(help="How many seeds, one run each.", min=1)] = 1,
    device: Device = Device.auto,
    data: Data = None,
    seed: Seed = 0,
    out: Annotated[Path, typer.Option(help="Folder for the picture of the curves.")] = Path("reports/out"),
    resume: Annotated[
        Path | None, typer.Option(help="Keep a checkpoint an epoch in this folder, and go on from it.", metavar="DIR")
    ] = None,
    compiled: Annotated[bool, typer.Option("--compile", help="Compile PyTorch's steps.")] = False,
    population: Annotated[
        bool, typer.Option("--population", help="Test accuracy also by statistics of the whole training set.")
    ] = False,
    json_file: Json = None,
) -> None:
    """Train LeNet on Fashion-MNIST: loss, accuracies, examples a second, and the curves as a picture."""
    from harness.cli import run_commands
    from harness.train.options import TrainingOptions

    options = TrainingOptions(
        impl.value, epochs, seed, device.value, resume=resume, compiled=compiled, population=population
    )
    raise typer.Exit(run_commands.train(options, seeds, data, out, json_file))


@app.command()
def matrix(
    suite: Annotated[Suite, typer.Option(help="quick answers in a minute or two.")] = Suite.full,
    seed: Seed = 0,
    out: Annotated[Path, typer.Option(help="Where the pages and the ledger go.")] = Path("reports/published/matrix"),
) -> None:
    """Every installed library, judged and compared: index.html, matrix.md, ledger.jsonl."""
    from harness.cli import commands

    raise typer.Exit(commands.matrix(suite.value, seed, out))


bench = typer.Typer(no_args_is_help=True, help="How fast: a layer, whole trainings, or this suite itself.")
app.add_typer(bench, name="bench")
Rounds = Annotated[int, typer.Option(help="Paired rounds after warm-up.", min=1)]


@bench.command("layer")
def bench_layer(rounds: Rounds = 9, device: Device = Device.cpu, json_file: Json = None) -> None:
    """Our layers against the frameworks' own, forward and backward."""
    from harness.cli import run_commands

    raise typer.Exit(run_commands.bench_layer(rounds, device.value, json_file))


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


@app.command()
def report(
    open_: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    quick: Annotated[bool, typer.Option(help="The quick suite and one epoch.")] = False,
    seeds: Annotated[int, typer.Option(help="How many seeds to train with.", min=1)] = 1,
    steps: Annotated[int, typer.Option(help="Lockstep: how many batches; 2350 are ten epochs.", min=1)] = 235,
    resume: Annotated[
        Path | None, typer.Option(help="Keep what is done in this folder, and go on from it.", metavar="DIR")
    ] = None,
    device: Device = Device.auto,
    data: Data = None,
    seed: Seed = 0,
    out: Annotated[Path, typer.Option(help="Where index.html, report.md and ledger.jsonl go.")] = Path("reports/out"),
) -> None:
    """Everything: agreement, pairs, lockstep, training, throughput; as HTML, Markdown and a ledger."""
    from harness.cli import commands

    raise typer.Exit(commands.report(open_, quick, seeds, steps, resume, device.value, data, seed, out))


def main() -> None:
    """The entry point: an error that the user can mend is one line on stderr and exit status 2."""
    from harness.errors import UsageError

    try:
        app()
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(USAGE)
