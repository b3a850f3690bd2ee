"""`bnproof wire-check`: does a player, in any language, speak the wire? For the author of one."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.cli.options import Json

STYLES = {"right": "green", "wrong": "red", "without": "yellow"}


def wire_check(
    target: Annotated[str, typer.Argument(help='exec:COMMAND ..., such as "exec:node player.js".')],
    json_file: Json = None,
) -> None:
    """Does a player speak the wire (harness/targets/WIRE.md)? Says in words what it answers wrongly.

    Exit status: 0 it does, 1 it does not, 2 there is no such program.
    """
    from dataclasses import asdict

    from harness.cli.output import AGREED, FAULTY, out, write_json
    from harness.record.files import ensure_writable
    from harness.record.ledger import SCHEMA
    from harness.targets.conformance import ConformanceOutcome, conformance

    if json_file:
        ensure_writable(json_file)
    checks = []
    for check in conformance(target):
        checks.append(check)
        out.print(f"[{STYLES[check.outcome]}]{check.outcome:<8}[/]", end="")
        out.print(check.text, markup=False, highlight=False, soft_wrap=True)
    write_json(json_file, {"schema": SCHEMA, "target": target, "checks": [asdict(check) for check in checks]})
    raise typer.Exit(FAULTY if any(check.outcome is ConformanceOutcome.wrong for check in checks) else AGREED)
