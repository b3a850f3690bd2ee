"""A target in a process of its own: a crash, a hang or a leak is a verdict, not an accident.

One process a target, started anew after a death. What the process prints is kept aside and shown when it dies.
The time limit is per case; importing the target and a first call per shape (compilation) have their own. A first call
that uses no processor time is not compiling: it has the case's limit.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import threading
import time
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil

from harness.cases.case import Script
from harness.targets.load import Description, TargetError
from harness.targets.play import Observation
from harness.targets.worker import serve

CASE_SECONDS = 30.0
IMPORT_SECONDS = 120.0
WARM_UP_SECONDS = 60.0
MEMORY_GROWTH = 4 * 2**30
"""Bytes that a target may take beyond what it held after its import. No case needs a hundredth of it."""
DEATHS_ALLOWED = 2
POLL_SECONDS = 0.01
NEVER_STARTED = 255
"""The exit status of a child whose interpreter could not be executed: that is ours to try again, not the target's."""
_STARTING = threading.Lock()
FIRST_CALL = "its first call at this shape"
BUSY_SHARE = 0.05
"""A process that computes uses more of a processor than this; one that waits for ever uses none."""


@dataclass(frozen=True)
class Death:
    """Why a process gave no answer. `verdict` is "crashed" or "timed_out"."""

    verdict: str
    message: str


class IsolatedTarget:
    """The parent's end of a target's process. `play` answers an Observation or a Death, and never raises for either."""

    def __init__(self, name: str, timeout: float = CASE_SECONDS, memory_growth: int = MEMORY_GROWTH) -> None:
        self.name = name
        self.timeout = timeout
        self.memory_growth = memory_growth
        self.deaths = 0
        self.notes: dict[str, str] = {}
        self._output = Path(tempfile.mkstemp(prefix="bnproof-")[1])
        self._process: Any = None
        self._connection: Connection | None = None
        self._description: Description | None = None
        self.narrowed: dict[str, Any] = {}
        """What the smoke check found that it takes: ranks, dtypes. It outlives the process."""
        self._memory_limit = 0
        self._exit_code: int | None = None
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        with _STARTING:
            self._connection, theirs = context.Pipe()
            self._process = context.Process(
                target=serve, args=(theirs, self.name, str(self._output), os.getcwd()), daemon=True
            )
            self._process.start()
            theirs.close()

    def narrow(self, **fields: Any) -> Description:
        """Ask less of the target from now on: its description with other ranks or dtypes."""
        self.narrowed |= fields
        self._description = replace(self.describe(), **fields)
        return self._description

    @property
    def given_up(self) -> bool:
        return self.deaths >= DEATHS_ALLOWED

    def describe(self) -> Description:
        """Wait for the import. Raises TargetError if the target cannot be loaded."""
        if self._description is None:
            answer = self._answer(IMPORT_SECONDS, "importing it")
            if isinstance(answer, Death) and self._exit_code == NEVER_STARTED:
                self.deaths -= 1
                self._start()
                answer = self._answer(IMPORT_SECONDS, "importing it")
            if isinstance(answer, Death):
                raise TargetError(f"target {self.name!r}: {answer.message}")
            kind, content = answer
            if kind == "error":
                raise TargetError(content)
            self._description = replace(content, **self.narrowed)
            self._memory_limit = self._memory() + self.memory_growth
        return self._description

    def play(self, script: Script, channel_axis: int) -> Observation | Death:
        """Play a script in the process, which is started anew if the last case ended it."""
        if self._process is None:
            self._start()
            self._description = None
        self.describe()
        assert self._connection is not None
        try:
            self._connection.send((script, channel_axis))
        except OSError:
            return self._died("crashed", self._exit_text())
        warm_up = WARM_UP_SECONDS if self.deaths == 0 else self.timeout
        for seconds, doing in ((max(warm_up, self.timeout), FIRST_CALL), (self.timeout, "this case")):
            answer = self._answer(seconds, doing)
            if isinstance(answer, Death):
                return answer
            kind, content = answer
            if kind == "exit":
                self.deaths += 1
                return Death("crashed", content)
        observation, notes = content
        self.notes |= notes
        return observation

    def _answer(self, seconds: float, doing: str) -> Any:
        """The next message, or the Death that came instead."""
        assert self._connection is not None
        started, worked = time.monotonic(), self._processor_seconds()
        while not self._connection.poll(POLL_SECONDS):
            if not self._process.is_alive():
                if self._connection.poll(0):
                    break  # it answered, then ended
                return self._died("crashed", self._exit_text())
            if self._memory_limit and self._memory() > self._memory_limit:
                return self._died(
                    "crashed", f"took more than {self.memory_growth / 2**30:.3g} GiB of memory in one case"
                )
            waited = time.monotonic() - started
            if doing == FIRST_CALL and waited > self.timeout:
                idle = self._processor_seconds() - worked < BUSY_SHARE * waited
                seconds = self.timeout if idle else seconds
            if waited > seconds:
                return self._died("timed_out", f"no answer within {seconds:g} s of {doing}")
        try:
            return self._connection.recv()
        except (EOFError, OSError):
            return self._died("crashed", self._exit_text())

    def _memory(self) -> int:
        try:
            return psutil.Process(self._process.pid).memory_info().rss
        except psutil.Error:
            return 0

    def _processor_seconds(self) -> float:
        try:
            times = psutil.Process(self._process.pid).cpu_times()
        except psutil.Error:
            return 0.0
        return times.user + times.system

    def _exit_text(self) -> str:
        self._process.join(2)
        code = self._exit_code = self._process.exitcode
        how = f"ended by signal {-code}" if code is not None and code < 0 else f"ended with exit status {code}"
        printed = self.printed()
        return f"the process {how}" + (f"; it last printed: {printed[-200:]}" if printed else "")

    def printed(self) -> str:
        """What the target wrote to stdout and stderr, on one line."""
        try:
            return " ".join(self._output.read_text(errors="replace").split())
        except OSError:
            return ""

    def _died(self, verdict: str, message: str) -> Death:
        self.deaths += 1
        self._stop()
        return Death(verdict, message)

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join(5)
            self._process = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def close(self) -> None:
        """End the process and remove its output file."""
        self._stop()
        self._output.unlink(missing_ok=True)

    def __enter__(self) -> IsolatedTarget:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
