"""Files that are the same in several environments take their space once: they are hard links to one another.

A folder beside the environments holds one more link to each such file, named by the file's hash, so that a new
environment finds it at once. Removing an environment removes its links, and no file of another.

A program that writes into one of these files writes into all of them. So only code and tables that come with a package
are shared, of the suffixes below, and only those whose content is what the package's RECORD promises. An entry whose
time of change is not the one that it was given has been written to since, and is given up.
"""

from __future__ import annotations

import base64
import contextlib
import csv
import errno
import hashlib
import os
import stat
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CODE = (".py", ".pyi", ".pyx", ".pxd", ".js", ".map", ".c", ".cc", ".cpp", ".cu", ".cuh", ".h", ".hpp", ".inc")
COMPILED = (".so", ".dylib", ".dll", ".pyd", ".a", ".lib", ".bc")
MODELS = (".pb", ".onnx")
"""Of onnx's own tests: a hundred thousand files."""
SHARED = (*CODE, *COMPILED, *MODELS)
GIVEN_TIME = 1_000_000_000
"""Every shared file's time of change, in seconds since 1970. Whoever writes to the file changes it."""
UNFINISHED = ".part"
TIMED = 0
"""The flags of a .pyc that is valid as long as its source has the time and size that it names."""
CANNOT = (errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EROFS)
"""What a file system says that has no hard links, or none to there."""


@dataclass(frozen=True)
class Recorded:
    """A file as a package's RECORD lists it."""

    path: Path
    digest: bytes
    """SHA-256"""
    size: int


@dataclass(frozen=True)
class Saved:
    files: int = 0
    """How many became links to what was there already."""
    bytes: int = 0


class NoLinksError(Exception):
    """The file system cannot have two names for one file."""


def share(environment: Path, contents: Path) -> Saved:
    """Make the environment's files links to those in `contents`, and put there those that it has not.

    Nothing happens where the file system has no hard links. Stopped at any moment, it leaves a whole environment.
    """
    files = size = 0
    try:
        contents.mkdir(parents=True, exist_ok=True)
        for recorded in recorded_files(environment):
            if _share_one(recorded, contents):
                files += 1
                size += recorded.size
    except NoLinksError:
        pass
    return Saved(files, size)


def prune(contents: Path) -> None:
    """Remove what no environment has any more, and what a run that was killed left behind."""
    for path in [*contents.glob("*/*")]:
        with contextlib.suppress(OSError):
            if path.stat().st_nlink == 1 or path.suffix == UNFINISHED:
                path.unlink()


def recorded_files(environment: Path) -> Iterator[Recorded]:
    """What may be shared of the packages that pip installed there."""
    places = [*environment.glob("lib/python*/site-packages"), *environment.glob("Lib/site-packages")]
    for record in (record for place in places for record in place.glob("*.dist-info/RECORD")):
        packages = record.parent.parent
        with contextlib.suppress(OSError, UnicodeDecodeError, csv.Error), record.open(newline="") as lines:
            for row in csv.reader(lines):
                if recorded := _recorded(row, packages):
                    yield recorded


def _recorded(row: list[str], packages: Path) -> Recorded | None:
    """None for what is not to be shared: without a hash, outside the folder, of another suffix, empty."""
    if len(row) != 3 or not row[1].startswith("sha256=") or not row[2].isdecimal() or row[2] == "0":
        return None
    name = Path(row[0])
    if name.is_absolute() or ".." in name.parts or not (name.suffix in SHARED or ".so." in name.name):
        return None
    text = row[1].removeprefix("sha256=")
    with contextlib.suppress(ValueError):
        digest = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        return Recorded(packages / name, digest, int(row[2]))
    return None


def _share_one(recorded: Recorded, contents: Path) -> bool:
    """Whether the file became a link to one that was there. Raises NoLinksError."""
    try:
        its = recorded.path.lstat()
        if not stat.S_ISREG(its.st_mode) or its.st_size != recorded.size:
            return False
        name = recorded.digest.hex()
        kept = contents / name[:2] / f"{name[2:]}-{stat.S_IMODE(its.st_mode):o}"
        there = _unchanged(kept, recorded.size)
        if there and (there.st_ino, there.st_dev) == (its.st_ino, its.st_dev):
            return False
        if _digest(recorded.path) != recorded.digest:
            return False
        if there:
            _replace(recorded.path, kept)
        else:
            kept.parent.mkdir(exist_ok=True)
            os.link(recorded.path, kept)
            os.utime(kept, (GIVEN_TIME, GIVEN_TIME))
        _keep_compiled(recorded.path, int(its.st_mtime))
        return there is not None
    except OSError as error:
        if error.errno in CANNOT:
            raise NoLinksError from error
        return False  # gone, in use, as many links as a file may have: it stays as it is


def _unchanged(kept: Path, size: int) -> os.stat_result | None:
    """The entry's state; None where there is none, or where it has been written to, and so is given up."""
    try:
        state = kept.stat()
    except FileNotFoundError:
        return None
    if state.st_mtime == GIVEN_TIME and state.st_size == size:
        return state
    kept.unlink()
    return None


def _replace(path: Path, kept: Path) -> None:
    """By a link, at once: a program that runs, or is killed, finds the one or the other."""
    link = kept.with_name(f"{kept.name}-{os.getpid()}-{threading.get_ident()}{UNFINISHED}")
    os.link(kept, link)
    try:
        link.replace(path)
    except OSError:
        link.unlink()
        raise


def _keep_compiled(source: Path, old: int) -> None:
    """A .pyc names its source's time: let it name the new one, or Python would compile everything again."""
    if source.suffix != ".py":
        return
    for compiled in (source.parent / "__pycache__").glob(f"{source.stem}.*.pyc"):
        with compiled.open("r+b") as file:
            magic_and_flags = file.read(8)
            if len(magic_and_flags) < 8 or struct.unpack("<I", magic_and_flags[4:])[0] != TIMED:
                continue
            if struct.unpack("<I", file.read(4))[0] == old & 0xFFFFFFFF:
                file.seek(8)
                file.write(struct.pack("<I", GIVEN_TIME))


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
