"""A small process that outlives its parent by a moment, to end what a killed one would leave behind.

Run as a script: it reads lines such as "process 123" and "file /path", and "forget" before either once it is dealt
with. When its input ends, because the parent ended, however that came about, it kills the process groups and removes
the files that are left. A target may hang in C code or have started processes of its own: nothing less reaches those.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import subprocess
import sys
import threading


class Guard:
    """The parent's end. The process starts when there is something to guard."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None

    def watch(self, what: str, name: object) -> None:
        """what: "process", by the id of its group, or "file", by its path."""
        self._tell(f"{what} {name}")

    def forget(self, what: str, name: object) -> None:
        self._tell(f"forget {what} {name}")

    def _tell(self, line: str) -> None:
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", __file__], stdin=subprocess.PIPE, text=True, start_new_session=True
                )
                atexit.register(self._end, os.getpid())
            assert self._process.stdin is not None
            with contextlib.suppress(OSError):
                self._process.stdin.write(line + "\n")
                self._process.stdin.flush()

    def _end(self, parent: int) -> None:
        """Where the parent ends in good order: wait for the process, so that Python does not warn of it."""
        process = self._process
        if process is None or process.stdin is None or os.getpid() != parent:  # a fork of the parent's
            return
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            process.stdin.close()
            process.wait(timeout=5)


GUARD = Guard()


def kill_group(group: int) -> None:
    """End a process and all that it started and did not move elsewhere."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def main() -> None:
    watched: set[tuple[str, str]] = set()
    for line in sys.stdin:
        first, _, rest = line.rstrip("\n").partition(" ")
        if first == "forget":
            what, _, name = rest.partition(" ")
            watched.discard((what, name))
        else:
            watched.add((first, rest))
    for what, name in watched:
        if what == "process":
            kill_group(int(name))
        else:
            with contextlib.suppress(OSError):
                os.unlink(name)


if __name__ == "__main__":
    main()
