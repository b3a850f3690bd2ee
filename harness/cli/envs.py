"""`bnproof envs`: the environments that were made for targets, and how to be rid of them."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.cli.options import Json

envs = typer.Typer(no_args_is_help=True, help="The environments in which targets play, kept in the user's cache.")
MIB = 2**20


@envs.command("list")
def list_(json_file: Json = None) -> None:
    """What is there: requirements, size, place. `alone`: what removing it would free; the rest is shared."""
    from harness.cli.output import out, print_table, table, write_json
    from harness.environments import environments
    from harness.environments.disk_use import disk_use

    there = environments.made()
    use = disk_use([environment.folder for environment in there])
    content = [
        {
            "key": environment.folder.name,
            "requirements": str(environment.requirements),
            "versions": environment.versions,
            "python": str(environment.python),
            "made": environment.made,
            "bytes": whole,
            "bytes_alone": alone,
        }
        for environment, whole, alone in zip(there, use.whole, use.alone, strict=True)
    ]
    folder = {"folder": str(environments.root()), "bytes_on_disk": use.total}
    write_json(json_file, folder | {"environments": content})
    rows = table(None, ("key", "MiB", "alone", "made", "requirements"))
    for environment, whole, alone in zip(there, use.whole, use.alone, strict=True):
        requirements = str(environment.requirements)
        sizes = f"{whole / MIB:,.0f}", f"{alone / MIB:,.0f}"
        rows.add_row(environment.folder.name, *sizes, environment.made[:10], requirements)
    if there:
        print_table(rows)
    total = f"{len(there)} environments, {use.total / MIB:,.0f} MiB on the disk, in {environments.root()}"
    if sum(use.whole) > use.total:
        total += f"; {sum(use.whole) / MIB:,.0f} MiB if they shared no files"
    out.print(total, markup=False, highlight=False, soft_wrap=True)


@envs.command()
def dedupe() -> None:
    """Let environments share the files that are the same, as new ones do; remove what was broken off."""
    from harness.cli.output import out
    from harness.environments import environments
    from harness.environments.sharing import Saved

    saved = []

    def tell(key: str, its: Saved) -> None:
        saved.append(its.bytes)
        out.print(f"{key}: {its.files:,} files, {its.bytes / MIB:,.0f} MiB", markup=False, highlight=False)

    environments.share_all(tell)
    out.print(f"{sum(saved) / MIB:,.0f} MiB saved in {len(saved)} environments", markup=False, highlight=False)


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
    environments.tidy()
    if not there:
        out.print("there is nothing to remove", markup=False)
