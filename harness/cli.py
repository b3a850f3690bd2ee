"""The command `bnproof`. Each command reads its options, calls one module, and chooses the exit status.

Frameworks and the suite are imported inside the commands: `--help` must answer at once.
"""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

AGREED, FAULTY, USAGE, DIED, NOTHING_JUDGED = 0, 1, 2, 3, 4

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
    from harness import listing

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
    json_file: Json = None,
) -> None:
    """Judge batch norms: right, to how many ulps, and if not, which known mistake."""
    from harness import commands

    status = commands.check(targets, suite.value, case, seed, timeout, as_preset, input_file, json_file)
    raise typer.Exit(status)


@app.command()
def probe(target: str, json_file: Json = None) -> None:
    """The conventions of a batch norm, inferred from outside."""
    from harness import commands

    raise typer.Exit(commands.probe(target, json_file))


@app.command()
def translate(
    source: Annotated[str, typer.Option("--from", help="The preset that the numbers come from.")],
    target: Annotated[str, typer.Option("--to", help="The preset to get the same behaviour in.")],
    settings: Annotated[list[str] | None, typer.Argument(metavar="NAME=NUMBER...")] = None,
    json_file: Json = None,
) -> None:
    """The constructor arguments that make one framework's layer behave like another's."""
    from harness import commands

    raise typer.Exit(commands.translate(source, target, settings or [], json_file))


@app.command()
def lockstep(
    steps: Annotated[int, typer.Option(help="How many batches of 256; 2350 are ten epochs.", min=1)] = 235,
    dtype: Annotated[str, typer.Option(help="float64 or float32.")] = "float64",
    bn: Annotated[
        str | None,
        typer.Option("--bn", help="Put this target's batch norm into the NumPy network instead.", metavar="TARGET"),
    ] = None,
    device: Device = Device.cpu,
    data: Data = None,
    seed: Seed = 0,
    json_file: Json = None,
) -> None:
    """Train the frameworks from the same start and measure how far apart their weights get."""
    from harness import commands

    raise typer.Exit(commands.lockstep(steps, dtype, device.value, bn, data, seed, json_file))


@app.command()
def train(
    impl: Annotated[Impl, typer.Option(help="Which implementation.")] = Impl.all,
    epochs: Annotated[int, typer.Option(min=1)] = 10,
    seeds: Annotated[int, typer.Option(help="How many seeds, one run each.", min=1)] = 1,
    device: Device = Device.auto,
    data: Data = None,
    seed: Seed = 0,
    out: Annotated[Path, typer.Option(help="Folder for the picture of the curves.")] = Path("reports/out"),
    json_file: Json = None,
) -> None:
    """Train LeNet on Fashion-MNIST: loss, accuracies, examples a second, and the curves as a picture."""
    from harness import commands

    raise typer.Exit(commands.train(impl.value, epochs, seeds, device.value, data, seed, out, json_file))


@app.command()
def report(
    open_: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    quick: Annotated[bool, typer.Option(help="The quick suite and one epoch.")] = False,
    device: Device = Device.auto,
    data: Data = None,
    seed: Seed = 0,
    out: Annotated[Path, typer.Option(help="Where index.html, report.md and ledger.jsonl go.")] = Path("reports/out"),
) -> None:
    """Everything: agreement, pairs, lockstep, training; as HTML, Markdown and a ledger."""
    from harness import commands

    raise typer.Exit(commands.report(open_, quick, device.value, data, seed, out))


def write_json(path: Path | None, content: dict[str, Any]) -> None:
    """One JSON object. Raises LedgerError where the file cannot be written."""
    if path is None:
        return
    from harness.ledger import open_for_writing, plain

    with open_for_writing(path) as file:
        json.dump(plain(content), file, allow_nan=False, indent=1)
        file.write("\n")


def main() -> None:
    """The entry point: an error that the user can mend is one line on stderr and exit status 2."""
    from harness.errors import UsageError

    try:
        app()
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(USAGE)


if __name__ == "__main__":
    main()
