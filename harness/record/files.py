"""Files that are written whole or not at all, and the one line that says why one could not be."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from harness.errors import UsageError

STREAMS = (Path("/dev"), Path("/dev/fd"), Path("/proc/self/fd"))


def write_whole(path: Path, text: str) -> None:
    """`write_whole_bytes` of `text` in UTF-8. What UTF-8 cannot hold, a lone surrogate, is written as its escape."""
    write_whole_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_whole_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path`, making its folder. Raises UsageError; then what stood there before still does.

    The data go to a temporary file beside `path`, which then takes its name. A pipe or a device cannot be renamed to,
    and is written directly.
    """
    try:
        if is_stream(path):
            path.write_bytes(data)
            return
        target = path.resolve()  # a link stays a link
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = partial_file(target)
        try:
            partial.write_bytes(data)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(cannot_write(path, error)) from error


def ensure_writable(path: Path) -> None:
    """Make `path`'s folder and see that a file can be written there, before any work is done. Raises UsageError."""
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "")
        if is_stream(path):
            return
        target = path.resolve()
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = partial_file(target)
        try:
            partial.touch()
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(cannot_write(path, error)) from error


def is_stream(path: Path) -> bool:
    """Whether what is written there goes on to somewhere else: a pipe, a device, or whatever /dev/stdout stands for."""
    return path.parent in STREAMS or (path.exists() and not path.is_file())


def partial_file(target: Path) -> Path:
    return target.with_name(f".bnproof-{os.getpid()}.partial")


def reason_of(error: OSError) -> str:
    """What the system says, without the path: "No space left on device"."""
    return os.strerror(error.errno) if error.errno else str(error)


def cannot_write(path: Path, error: OSError) -> str:
    return f"cannot write {path}: {reason_of(error)}; name another place with --out or --json"
