"""One process at a time makes an environment, and the installers that it starts with it."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO


class BusyError(Exception):
    """Another process makes or removes this environment now."""


@dataclass(frozen=True)
class Hold:
    """A hold on an environment's folder. Installers inherit it, so that it lasts as long as any of them."""

    file: IO[str] | None = None
    """Locked, and open in whatever was started with `for_installer`; None on Windows."""

    def for_installer(self) -> dict:
        """Arguments of Popen by which a process takes part in the hold, at the head of a group of its own."""
        if self.file is None:
            return {}
        self.note("")
        return {"pass_fds": (self.file.fileno(),), "start_new_session": True}

    def note(self, group: int | str) -> None:
        """Write down which group of processes takes part."""
        if self.file is not None:
            self.file.seek(0)
            self.file.truncate()
            self.file.write(str(group))
            self.file.flush()


@contextlib.contextmanager
def alone(folder: Path, wait: bool = True) -> Iterator[Hold]:
    """Wait until no other process makes or removes the environment in `folder`.

    wait=False: raises BusyError instead where one does.
    Where one was killed and its installer goes on by itself, that is killed too: it would write into what is made now.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder.with_suffix(".lock"))
    try:
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout as error:
        raise BusyError(folder) from error
    try:
        if os.name == "nt":
            yield Hold()
            return
        with folder.with_suffix(".installer").open("a+") as file:
            _end_orphan(file)
            yield Hold(file)
    finally:
        lock.release()


def _end_orphan(file: IO[str]) -> None:
    """Lock `file`. Its holder, if any, is an installer whose parent is gone: the parent's lock is ours."""
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        group = file.read()
        if group.isdecimal():
            end(int(group))
        fcntl.flock(file, fcntl.LOCK_EX)


def end(group: int) -> None:
    """Kill a process and all that it started, where it heads a group of its own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
