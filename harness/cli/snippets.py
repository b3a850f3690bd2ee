"""The snippets that show a library's fault alone: published only where one, run here, prints what it claims."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.place import ROOT
from harness.record.kinds import LibraryFinding

SNIPPETS = ROOT / "impls" / "third_party" / "findings"
SECONDS = 120
LONGEST_LINE = 400


@dataclass(frozen=True)
class Heading:
    """The comment lines at the top of a snippet."""

    targets: tuple[str, ...]
    title: str
    documented: str


def snippets(names: Sequence[str]) -> list[Path]:
    """The snippets about any of these targets."""
    return [path for path in sorted(SNIPPETS.glob("*.py")) if {*heading(path).targets} & {*names}]


def heading(path: Path) -> Heading:
    """Raises KeyError where a snippet lacks one of the lines."""
    lines = path.read_text(encoding="utf-8").splitlines()
    texts = dict(line[2:].split(": ", 1) for line in lines if line.startswith("# ") and ": " in line)
    return Heading(tuple(texts["targets"].split(", ")), texts["title"], texts["documented"])


def code(path: Path) -> str:
    """A snippet without its heading of three lines."""
    return "\n".join(path.read_text(encoding="utf-8").splitlines()[3:])


def run_snippet(path: Path, python: str = sys.executable) -> LibraryFinding:
    """Run a snippet by this interpreter, in an empty folder.

    It must end well and print a line that starts with FINDING.
    """
    top = heading(path)
    with tempfile.TemporaryDirectory() as folder:
        try:
            run = subprocess.run(
                [python, str(path)], cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False
            )
            output, status = run.stdout.splitlines(), run.returncode
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
