"""The snippets that show a library's fault alone: published only where one, run here, prints what it claims.

Each is in the language of its library: Python, JavaScript or C++.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.environments.requirements import Requirements
from harness.place import ROOT
from harness.record.kinds import LibraryFinding
from harness.targets.built_in import built_in, variables

SNIPPETS = ROOT / "impls" / "third_party" / "findings"
SUFFIXES = (".py", ".js", ".cpp")
HEADING = re.compile(r"(?:#|//) (\w+): (.*)")
SECONDS = 120
LONGEST_LINE = 400


@dataclass(frozen=True)
class Heading:
    """The comment lines at the top of a snippet."""

    targets: tuple[str, ...]
    title: str
    documented: str


def all_snippets() -> list[Path]:
    return sorted(path for path in SNIPPETS.iterdir() if path.suffix in SUFFIXES)


def snippets(names: Sequence[str]) -> list[Path]:
    """The snippets about any of these targets."""
    return [path for path in all_snippets() if {*heading(path).targets} & {*names}]


def heading(path: Path) -> Heading:
    """Raises KeyError where a snippet lacks one of the lines."""
    lines = path.read_text(encoding="utf-8").splitlines()
    texts = {line[1]: line[2] for line in map(HEADING.match, lines) if line}
    return Heading(tuple(texts["targets"].split(", ")), texts["title"], texts["documented"])


def code(path: Path) -> str:
    """A snippet without its heading of three lines."""
    return "\n".join(path.read_text(encoding="utf-8").splitlines()[3:])


Run = Callable[..., subprocess.CompletedProcess[str]]
"""As `subprocess.run`."""


def run_snippet(path: Path, python: str = sys.executable, run: Run = subprocess.run) -> LibraryFinding:
    """Run a snippet in an empty folder; in Python, by this interpreter.

    It must end well and print a line that starts with FINDING. Raises NotInstallableError where it cannot be built.
    """
    top = heading(path)
    command, extra = how_to_run(path, python)
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = run(
                command,
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=False,
                env=os.environ | extra,
            )
            output, status = done.stdout.splitlines(), done.returncode
        except subprocess.TimeoutExpired:
            output, status = [], -1
    reproduced = status == 0 and any(line.startswith("FINDING") for line in output)
    return LibraryFinding(
        file=path.name,
        targets=top.targets,
        title=top.title,
        documented=top.documented,
        code=code(path),
        output=tuple(line[:LONGEST_LINE] for line in output if reproduced),
        reproduced=reproduced,
    )


def how_to_run(path: Path, python: str) -> tuple[list[str], dict[str, str]]:
    """The command, and environment variables."""
    if path.suffix == ".cpp":
        from harness.environments.environments import make

        return [str(make(built_from(path)).program)], {}
    if path.suffix == ".js":
        return ["node", str(path)], next(filter(None, map(variables, heading(path).targets)), {})
    return [python, str(path)], {}


def built_from(path: Path) -> Requirements:
    """What a snippet in C++ is built from: itself, with what its target's player needs."""
    return replace(built_in(heading(path).targets[0]).requirements, sources=(str(path),))
