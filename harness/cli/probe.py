"""`bnproof probe`: the conventions of a batch norm, inferred from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.options import Json, Python

if TYPE_CHECKING:
    from harness.probe.probe import Probed


EXAMPLE_VALUES = 24
"""Values a channel in the example of an answer: a batch of 4 images of 2x3."""


def probe(
    target: Annotated[str, typer.Argument(help="A name, module:attr, file.py:attr or exec:COMMAND.")],
    python: Python = None,
    json_file: Json = None,
) -> None:
    """The conventions of a batch norm, inferred from outside."""
    from harness.cli.output import write_json
    from harness.probe.probe import probe as probe_target
    from harness.record.files import ensure_writable
    from harness.record.ledger import SCHEMA
    from harness.targets.isolate import IsolatedTarget
    from harness.targets.launch import interpreter_of

    if json_file:
        ensure_writable(json_file)
    with IsolatedTarget(target, python=interpreter_of(python) if python else None) as isolated:
        isolated.describe()
        probed = probe_target(isolated)
    write_json(json_file, {"schema": SCHEMA, "target": target} | probed.as_dict())
    show(target, probed)


def show(target: str, probed: Probed) -> None:
    """The nearest preset first, then each field, then what is noted."""
    from rich.markup import escape

    from harness.cli.output import out
    from harness.probe.answers import why_moving_var_is_not_numpys

    same = "the preset's own" if not probed.differs else f"differs in {', '.join(probed.differs)}"
    out.print(f"[bold]{escape(target)}[/]: nearest preset [bold]{probed.nearest}[/] ({same})", soft_wrap=True)
    for name, value in probed.conventions.as_dict().items():
        mark = " (not seen)" if name in probed.unseen else ""
        out.print(f"  {name:<17} {value}{mark}", highlight=False, soft_wrap=True)
    for name, text in probed.observed.items():
        out.print(f"  {name:<17} {escape(text)} (observed)", highlight=False, soft_wrap=True)
    if "moving_var" not in probed.unseen:
        answer = why_moving_var_is_not_numpys(probed.conventions, EXAMPLE_VALUES)
        out.print(f"  [bold]why moving_var is not x.var()[/]: {escape(answer)}", highlight=False, soft_wrap=True)
    for note in probed.notes:
        out.print(f"  [yellow]note[/] {note.id}: {escape(note.text)}", highlight=False, soft_wrap=True)
