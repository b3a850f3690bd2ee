"""Programs in C++, built from their sources with the compiler that is found."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

COMPILERS = ("c++", "g++", "clang++")
STANDARD = ("-std=c++17", "-O1")
PROGRAM = "program"
"""What a built program is called, in a folder of its own."""


def compiler() -> str | None:
    """The path of the first that is there."""
    return next(filter(None, map(shutil.which, COMPILERS)), None)


def build_command(sources: Sequence[str], flags: Sequence[str], folder: Path) -> list[str]:
    """The one command that builds it. A header comes in by the file that includes it."""
    return [compiler() or COMPILERS[0], *STANDARD, sources[0], "-o", str(folder / PROGRAM), *flags]


def fingerprint(sources: Sequence[str], flags: Sequence[str], packages: Sequence[str]) -> list[str]:
    """All that a program is made from: what is in its files, the command, and which releases of packages it uses."""
    contents = [hashlib.sha256(Path(source).read_bytes()).hexdigest() for source in sources]
    versions = [f"{package} {version}" for package, version in sorted(debian_versions(packages).items())]
    return [*contents, compiler() or "", *STANDARD, *flags, *versions]


def debian_versions(packages: Sequence[str]) -> dict[str, str]:
    """Package -> version, of those that are installed. Empty on what is no Debian."""
    query = ["dpkg-query", "-W", "-f=${Package} ${Status} ${Version}\n", *packages]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return {}
    fields = [line.split() for line in answer.stdout.splitlines()]
    return {line[0]: line[-1] for line in fields if line[-2:-1] == ["installed"]}
