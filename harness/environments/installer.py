"""Run the commands that install something, with a limit of time, and say in a line why one failed."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from harness.environments.alone import Hold, end
from harness.environments.requirements import NotInstallableError

REASON_LENGTH = 300


@dataclass(frozen=True)
class Installer:
    """What the commands that make an environment have in common."""

    on_line: Callable[[str], None]
    """Called with each line that they print."""
    until: float
    """By `time.monotonic`."""
    variables: dict[str, str]
    hold: Hold

    def run(self, command: list[str]) -> None:
        """Run to its end. Raises NotInstallableError with what it said last, where it fails or takes too long."""
        lines = []
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=self.variables,
            **self.hold.for_installer(),
        ) as process:
            kill = partial(end, process.pid) if os.name == "posix" else process.kill
            stop = threading.Timer(max(0.0, self.until - time.monotonic()), kill)
            stop.start()
            try:
                self.hold.note(process.pid)
                for line in process.stdout or ():
                    if line.strip():
                        lines.append(line.strip())
                        self.on_line(line.strip())
                process.wait()
            except BaseException:
                kill()
                raise
            finally:
                stop.cancel()
        if time.monotonic() >= self.until:
            raise NotInstallableError("the time limit for installing it was reached")
        if process.returncode != 0:
            raise NotInstallableError(reason(lines) or f"{command[0]} ended with exit status {process.returncode}")


def reason(lines: list[str]) -> str:
    """The line that says most: a compiler's first error, an installer's last, or else the last line."""
    compilers = [line for line in lines if ": error: " in line or ": fatal error: " in line]
    installers = [line for line in lines if line.lower().startswith(("error:", "npm error", "npm err!"))]
    text = (compilers[:1] or installers or lines or [""])[-1]
    return text.removeprefix("ERROR: ").removeprefix("error: ")[:REASON_LENGTH]
