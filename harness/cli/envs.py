"""`bnproof envs`: the environments that were made for targets, and how to be rid of them."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.cli.options import Json

envs = typer.Typer(no_args_is_help=True, help="The environments in which targets play, kept in the user's cache.")
MIB = 2**20


@envs.command("list")
def list_(json_file: Json = None) -> None:
    """What is there: requirements, size, place."""
    from rich.table import Table

    from harness.cli.output import out, write_json
    from harness.environments import environments

    there = environments.made()
    sizes = [environment.size for environment in there]
    content = [
        {
            "key": environment.folder.name,
            "requirements": str(environment.requirements),
            "versions": environment.versions,
            "python": str(environment.python),
            "made": environment.made,
            "bytes": size,
        }
        for environment, size in zip(there, sizes, strict=True)
    ]
    write_json(json_file, {"folder": str(environments.root()), "environments": content})
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("key", "MiB", "made", "requirements"):
        table.add_column(heading, no_wrap=heading != "requirements")
    for environment, size in zip(there, sizes, strict=True):
        requirements = str(environment.requirements)
        table.add_row(environment.folder.name, f"{size / MIB:,.0f}", environment.made[:10], requirements)
    if there:
        out.print(table)
    total = f"{len(there)} environments, {sum(sizes) / MIB:,.0f} MiB, in {environments.root()}"
    out.print(total, markup=False, highlight=False, soft_wrap=True)


@envs.command()
def clean(
    keys: Annotated[
        list[str] | None, typer.Argument(help="Which, as `list` names them; all where none is named.")
    ] = None,
) -> None:
    """Remove environments. They are made again when a target needs them."""
    from harness.cli.output import out
    from harness.environments import environments
    from harness.errors import UsageError

    there = {environment.folder.name: environment for environment in environments.made()}
    unknown = [key for key in keys or [] if key not in there]
    if unknown:
        raise UsageError(f"there is no environment {unknown[0]!r}; `bnproof envs list` shows which there are")
    for key in keys or there:
        environments.remove(there[key])
        out.print(f"removed {key}: {there[key].requirements}", markup=False, highlight=False)
    if not there:
        out.print("there is nothing to remove", markup=False)
