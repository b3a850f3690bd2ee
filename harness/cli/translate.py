"""`bnproof translate`: the constructor arguments that make one framework's layer behave like another's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.options import Json

if TYPE_CHECKING:
    from harness.probe.translate import Translation


def translate(
    source: Annotated[str, typer.Option("--from", help="The preset that the numbers come from.")],
    target: Annotated[str, typer.Option("--to", help="The preset to get the same behaviour in.")],
    settings: Annotated[list[str] | None, typer.Argument(metavar="NAME=NUMBER...")] = None,
    json_file: Json = None,
) -> None:
    """The constructor arguments that make one framework's layer behave like another's."""
    from harness.cli.output import write_json
    from harness.probe.translate import translation
    from harness.record.ledger import SCHEMA

    translated = translation(source, target, settings or [])
    write_json(json_file, {"schema": SCHEMA} | translated.as_dict())
    show(translated)


def show(translated: Translation) -> None:
    """The call, then what it cannot make equal."""
    from rich.markup import escape

    from harness.cli.output import out

    out.print(f"[bold]{escape(translated.call)}[/]", highlight=False, soft_wrap=True)
    for text in translated.cannot:
        out.print(f"  [yellow]not made equal[/] {escape(text)}", highlight=False, soft_wrap=True)
