"""Where JAX keeps the programs that it has compiled: compiling them is most of what a JAX target takes.

A program that was kept is the one that was compiled, bit for bit, and JAX looks it up by the code, the compiler and its
flags. Whoever sets JAX_COMPILATION_CACHE_DIR keeps it elsewhere; JAX_ENABLE_COMPILATION_CACHE=false keeps nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import time
from functools import lru_cache
from pathlib import Path

FOLDER = "JAX_COMPILATION_CACHE_DIR"
SWITCH = "JAX_ENABLE_COMPILATION_CACHE"
KEPT_BYTES = 256 * 2**20
"""Some 160 targets, each release of a library one. What was compiled first goes first."""

LOOKED_THROUGH_EVERY = 600.0
"""Seconds. To look through ten thousand files takes a tenth of one, which every command would spend."""


def environment() -> dict[str, str]:
    """The variables that make JAX keep what it compiles. Empty where the user has a say in it, or there is no place."""
    if FOLDER in os.environ or SWITCH in os.environ:
        return {}
    try:
        folder = user_folder()
    except RuntimeError:  # the user has no home
        return {}
    if not _is_ready(folder):
        return {}
    return {
        FOLDER: str(folder),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",  # each takes little, and a suite has two hundred
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


def user_folder() -> Path:
    """In the user's cache, one for each kind of processor: a home may be shared by several machines."""
    return user_cache() / f"jax-{processor()}"


def user_cache() -> Path:
    """Our part of the user's cache. Raises RuntimeError for a user without a home."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bnproof"


@lru_cache(1)
def processor() -> str:
    """A short name of this processor and its instructions, for which a program is compiled."""
    instructions = ""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
        instructions = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    text = f"{platform.system()} {platform.machine()} {platform.processor()} {instructions}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@lru_cache(1)
def _is_ready(folder: Path) -> bool:
    """Make the folder, and make room in it. Whether it can be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        make_room_now_and_then(folder, KEPT_BYTES)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


def make_room_now_and_then(folder: Path, kept_bytes: int) -> None:
    """`make_room`, unless some process has done so within `LOOKED_THROUGH_EVERY`."""
    stamp = folder.with_name(f"{folder.name}.looked-through")
    with contextlib.suppress(FileNotFoundError):
        if 0 <= time.time() - stamp.stat().st_mtime < LOOKED_THROUGH_EVERY:
            return
    make_room(folder, kept_bytes)
    with contextlib.suppress(OSError):
        stamp.touch()


def make_room(folder: Path, kept_bytes: int) -> None:
    """Remove the oldest files of the folder until the rest takes no more than `kept_bytes`."""
    files = []
    with os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):  # another process renamed or removed it meanwhile
                files.append((entry.stat().st_mtime, entry.stat().st_size, entry.path))
    total = sum(size for _, size, _ in files)
    for _, size, path in sorted(files):
        if total <= kept_bytes:
            return
        Path(path).unlink(missing_ok=True)
        total -= size
