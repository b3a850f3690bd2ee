"""A target's process: started in a group of its own, guarded, ended with all that it has started."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import tempfile
from pathlib import Path

from harness.targets import usage
from harness.targets.channel import Channel
from harness.targets.guard import GUARD, kill_group
from harness.targets.launch import Launch

EXIT_SECONDS = 2
"""How long a process that has closed its output has to end, to say how it ended."""
STOP_SECONDS = 0.5
"""How long a process has to end when it is asked to."""
PRINTED_KEPT = 2**16
"""Bytes of a target's output that are looked at, from the end."""
PRINTED_AT_MOST = 2**26
"""Bytes of it that may lie on the disk: a target that prints without end must not fill it."""


LAST_WORDS = 200
ERROR = re.compile(r"\b\w*Error: ")
"""Where a language says what went wrong: Python at the end, Node before a long trace."""


def last_words(printed: str) -> str:
    """From the last error on, where there is one; else the end. So many characters at most."""
    errors = [match.start() for match in ERROR.finditer(printed)]
    return printed[errors[-1] :][:LAST_WORDS] if errors else printed[-LAST_WORDS:]


class Printed:
    """A file of what a target's processes print."""

    def __init__(self) -> None:
        descriptor, path = tempfile.mkstemp(prefix="bnproof-")
        os.close(descriptor)
        self.path = Path(path)
        GUARD.watch("file", path)

    def text(self) -> str:
        """On one line; the end of it, where it is much."""
        try:
            with self.path.open("rb") as file:
                file.seek(max(0, self.path.stat().st_size - PRINTED_KEPT))
                return " ".join(file.read().decode(errors="replace").split())
        except OSError:
            return ""

    def keep_short(self) -> None:
        """Drop all but the end of what was printed, where it is too much. Whoever prints appends, and goes on."""
        with contextlib.suppress(OSError):
            if self.path.stat().st_size <= PRINTED_AT_MOST:
                return
            with self.path.open("r+b") as file:
                file.seek(-PRINTED_KEPT, os.SEEK_END)
                end = file.read(PRINTED_KEPT)
                file.seek(0)
                file.write(end)
                file.truncate()

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        GUARD.forget("file", self.path)


class TargetProcess:
    """Raises UsageError, OSError or ValueError where it cannot be started."""

    def __init__(self, launch: Launch, printed: Printed) -> None:
        self._printed, self._is_over = printed, False
        with printed.path.open("ab") as output:
            self._process = subprocess.Popen(
                launch.command(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                bufsize=0,
                env=launch.environment(),
                start_new_session=True,  # a process group of its own, to be killed as a whole
            )
        GUARD.watch("process", self._process.pid)
        self.channel = Channel(self._process)

    def resident_bytes(self) -> int:
        return usage.resident_bytes(self._process.pid)

    def processor_seconds(self) -> float:
        return usage.processor_seconds(self._process.pid)

    def how_it_ended(self) -> str:
        """In words, once its output has ended, with what it printed last."""
        try:
            code = self._process.wait(EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            how = "closed its output and went on"
        else:
            how = f"ended by signal {-code}" if code < 0 else f"ended with exit status {code}"
        within = " within an answer" if self.channel.ended_within_a_line else ""
        printed = last_words(self._printed.text())
        return f"the process {how}{within}" + (f"; it last printed: {printed}" if printed else "")

    def end(self, last_request: bytes | None = None) -> bool:
        """End it and whatever it has started. Returns whether it ended by itself, asked by a last request."""
        if self._is_over:
            return False
        self._is_over, ended = True, False
        try:
            if last_request is not None:
                ended = self.channel.ask_to_end(last_request, STOP_SECONDS)
        finally:
            kill_group(self._process.pid)
            self._process.wait()
            self.channel.close()
            GUARD.forget("process", self._process.pid)
        return ended
