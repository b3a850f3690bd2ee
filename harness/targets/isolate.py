"""A target in a process of its own: a crash, a hang or a leak is a verdict, not an accident.

One process a target, started anew after a death. What the process prints is kept aside and shown when it dies.
The time limit is per case; importing the target and a first call per shape (compilation) have their own. A first call
that uses no processor time is not compiling: it has the case's limit.
"""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from harness import place
from harness.cases.case import Script
from harness.findings import Note
from harness.targets import compilation_cache, usage
from harness.targets.channel import receive, send
from harness.targets.device import CPU, for_device, on_device, split_device
from harness.targets.guard import GUARD, kill_group
from harness.targets.load import TargetError
from harness.targets.player import Death, DeathCause, Description, Observation

CASE_SECONDS = 30.0
IMPORT_SECONDS = 120.0
WARM_UP_SECONDS = 60.0
MEMORY_GROWTH = 4 * 2**30
"""Bytes that a target may take beyond what it held after its import. No case needs a hundredth of it."""
DEATHS_ALLOWED = 2
POLL_SECONDS = 0.01
FIRST_CALL = "its first call at this shape"
BUSY_SHARE = 0.05
"""A process that computes uses more of a processor than this; one that waits for ever uses none."""
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
"""The environment variables by which libraries are told how many threads to take. XLA takes what it likes."""
PRINTED_KEPT = 2**16
"""Bytes of a target's output that are looked at, from the end."""


class IsolatedTarget:
    """The parent's end of a target's process. `play` answers an Observation or a Death, and raises for neither."""

    def __init__(
        self,
        target: str,
        timeout: float = CASE_SECONDS,
        layer: str = "",
        memory_growth: int = MEMORY_GROWTH,
        device: str = CPU,
        threads: int | None = None,
    ) -> None:
        self.layer = layer
        self.threads = threads
        self.target, self.device = split_device(target, device)
        self.name = on_device(self.target, self.device, layer)
        self.timeout = timeout
        self.memory_growth = memory_growth
        self.deaths = 0
        self.last_death: Death | None = None
        self._notes: dict[str, str] = {}
        descriptor, path = tempfile.mkstemp(prefix="bnproof-")
        os.close(descriptor)
        self._output = Path(path)
        GUARD.watch("file", path)
        self._process: subprocess.Popen[bytes] | None = None
        self._answers: queue.Queue[tuple[str, int, Any]] = queue.Queue()
        self._number = 0
        self._description: Description | None = None
        self._narrowed: dict[str, Any] = {}
        """What the smoke check found that it takes: ranks, dtypes. It outlives the process."""
        self._memory_limit = 0
        self._start()

    def _start(self) -> None:
        # Most cases are small: threads would only wait for each other, most of all where several targets run at once.
        environment = {"OMP_NUM_THREADS": "1"} | os.environ | {"PYTHONPATH": place.python_path()}
        if self.threads is not None:
            environment |= dict.fromkeys(THREADS, str(self.threads))
        if self.device == CPU:  # which of a GPU's kernels is the fastest, JAX measures anew
            environment |= compilation_cache.environment()
        environment = for_device(environment, self.device)
        command = [
            sys.executable,
            "-P",
            "-m",
            place.module("harness.targets.worker"),
            self.target,
            self.layer,
            self.device,
        ]
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                env=environment,
                start_new_session=True,  # a process group of its own, to be killed as a whole
            )
        GUARD.watch("process", self._process.pid)
        self._answers, self._number = queue.Queue(), 0
        threading.Thread(target=_read, args=(self._process.stdout, self._answers), daemon=True).start()

    def narrow(self, *, ranks: tuple[int, ...], dtypes: tuple[str, ...]) -> Description:
        """Ask less of the target from now on: its description with other ranks and dtypes."""
        self._narrowed = {"ranks": ranks, "dtypes": dtypes}
        self._description = replace(self.describe(), **self._narrowed)
        return self._description

    @property
    def given_up(self) -> bool:
        return self.deaths >= DEATHS_ALLOWED

    def describe(self) -> Description:
        """Wait for the import. Raises TargetError if the target cannot be loaded."""
        if self._description is None:
            answer = self._answer(IMPORT_SECONDS, "importing it")
            if isinstance(answer, Death):
                raise TargetError(f"target {self.name!r}: {answer.message}")
            kind, _, content = answer
            if kind == "error":
                raise TargetError(content)
            self._description = replace(content, **self._narrowed)
            self._memory_limit = self._memory() + self.memory_growth
        return self._description

    def play(self, script: Script, channel_axis: int) -> Observation | Death:
        """Play a script in the process, which is started anew if the last case ended it."""
        if self.given_up and self.last_death:
            return self.last_death
        if self._process is None:
            self._start()
            self._description = None
        self.describe()
        assert self._process is not None
        assert self._process.stdin is not None
        self._number += 1
        try:
            send(self._process.stdin, (self._number, script, channel_axis))
        except OSError:
            return self._died(DeathCause.crashed, self._exit_text())
        warm_up = WARM_UP_SECONDS if self.deaths == 0 else self.timeout
        answer: Any = None
        for seconds, doing in ((max(warm_up, self.timeout), FIRST_CALL), (self.timeout, "this case")):
            answer = self._answer(seconds, doing)
            if isinstance(answer, Death):
                return answer
            if answer[0] == "exit":
                return self._count(Death(DeathCause.crashed, answer[2]))
        observation, notes = answer[2]
        self._notes |= notes
        return observation

    def _answer(self, seconds: float, doing: str) -> tuple[str, int, Any] | Death:
        """The next answer to the last request, or the Death that came instead."""
        started, worked = time.monotonic(), self._processor_seconds()
        while True:
            try:
                answer = self._answers.get(timeout=POLL_SECONDS)
            except queue.Empty:
                pass
            else:
                if answer[0] == "end":
                    return self._died(DeathCause.crashed, self._exit_text())
                if answer[0] == "garbled":
                    return self._died(DeathCause.crashed, f"its answer could not be read: {answer[2]}")
                if answer[1] == self._number:
                    return answer
                continue  # a late answer to an earlier request
            if self._memory_limit and self._memory() > self._memory_limit:
                limit = f"{self.memory_growth / 2**30:.3g} GiB"
                return self._died(DeathCause.crashed, f"took more than {limit} of memory in one case")
            waited = time.monotonic() - started
            if doing == FIRST_CALL and waited > self.timeout:
                idle = self._processor_seconds() - worked < BUSY_SHARE * waited
                seconds = self.timeout if idle else seconds
            if waited > seconds:
                return self._died(DeathCause.timed_out, f"no answer within {seconds:g} s of {doing}")

    def _memory(self) -> int:
        return usage.resident_bytes(self._process.pid) if self._process else 0

    def _processor_seconds(self) -> float:
        return usage.processor_seconds(self._process.pid) if self._process else 0.0

    def _exit_text(self) -> str:
        assert self._process is not None
        try:
            code = self._process.wait(2)
        except subprocess.TimeoutExpired:
            how = "closed its channel and went on"
        else:
            how = f"ended by signal {-code}" if code < 0 else f"ended with exit status {code}"
        printed = self.printed()
        return f"the process {how}" + (f"; it last printed: {printed[-200:]}" if printed else "")

    def printed(self) -> str:
        """What the target wrote to stdout and stderr, on one line; the end of it, where it wrote much."""
        try:
            with self._output.open("rb") as file:
                file.seek(max(0, self._output.stat().st_size - PRINTED_KEPT))
                return " ".join(file.read().decode(errors="replace").split())
        except OSError:
            return ""

    def notes(self) -> list[Note]:
        """What was noticed while it played, and whether it printed anything."""
        notes = [Note(id, text) for id, text in self._notes.items()]
        printed = self.printed()
        if printed:
            notes.append(Note("prints", f"it writes to stdout or stderr: {printed[:120]}"))
        return notes

    def _died(self, cause: DeathCause, message: str) -> Death:
        self._stop()
        return self._count(Death(cause, message))

    def _count(self, death: Death) -> Death:
        self.deaths += 1
        self.last_death = death
        return death

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        kill_group(process.pid)
        process.wait()
        if process.stdin is not None:
            with contextlib.suppress(OSError):  # what was not sent yet is not sent any more
                process.stdin.close()
        GUARD.forget("process", process.pid)

    def close(self) -> None:
        """End the process and remove its output file."""
        self._stop()
        self._output.unlink(missing_ok=True)
        GUARD.forget("file", self._output)

    def __enter__(self) -> IsolatedTarget:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _read(stream: IO[bytes], answers: queue.Queue[tuple[str, int, Any]]) -> None:
    """In a thread: hand on every message, then say how the stream ended."""
    with stream:
        while True:
            try:
                answers.put(receive(stream))
            except (EOFError, OSError):
                answers.put(("end", 0, None))
                return
            except Exception as error:  # pickle raises all sorts for what is no message of ours
                answers.put(("garbled", 0, f"{type(error).__name__}: {error}"))
                return
