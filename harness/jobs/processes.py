"""Jobs side by side in processes of this machine.

Each process is asked over a socket of its own and does one job at a time. One that dies costs its job another try, in
a new process.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
from collections import Counter, deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Pipe, wait
from typing import Any

from harness import place
from harness.jobs.job import RETRIES, Job, died_too_often
from harness.jobs.progress import OnProgress, Progress, ignore
from harness.jobs.worker import Finished, Told

AHEAD = 16
"""How many jobs a process may be ahead of the one whose result is next."""
POLL_SECONDS = 0.2
STOP_SECONDS = 2.0
"""How long a process has to tidy up when it is asked to end."""


class WorkerDiedError(Exception):
    """Its message says how."""


class WorkerProcess:
    """This end of a process, the leader of a group: Ctrl-C does not reach it, and it ends with what it started."""

    def __init__(self) -> None:
        self.connection, theirs = Pipe()
        main = place.module("harness.jobs.worker")
        ours = place.ROOT.parent if place.PREFIX else place.ROOT
        code = f"import sys; sys.path.insert(0, {str(ours)!r}); from {main} import main; main({theirs.fileno()})"
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", code],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=2,  # what a job prints is no output of the command
            start_new_session=True,
        )
        theirs.close()

    def send(self, job: Job) -> None:
        with contextlib.suppress(OSError):  # a dead process is noticed when it is asked for its answer
            self.connection.send_bytes(pickle.dumps(job))

    def receive(self) -> Told | Finished:
        """Raises WorkerDiedError."""
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            raise WorkerDiedError(self._how_it_ended()) from None

    @property
    def is_dead(self) -> bool:
        return self._process.poll() is not None

    def _how_it_ended(self) -> str:
        self.end()
        code = self._process.returncode
        return f"by {signal.Signals(-code).name}" if code < 0 else f"with exit status {code}"

    def ask_to_end(self) -> None:
        self._process.terminate()

    def end(self) -> None:
        self.ask_to_end()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self.connection.close()


@dataclass(frozen=True)
class ProcessTask:
    number: int
    job: Job


class Backlog:
    """The jobs that are not begun: those to be tried again before all others."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._jobs: Iterator[ProcessTask] = (ProcessTask(number, job) for number, job in enumerate(jobs))
        self._again: deque[ProcessTask] = deque()
        self._begun = 0
        self._deaths: Counter[int] = Counter()

    def next(self, below: int) -> ProcessTask | None:
        """None where there is none, or where its number would not be below this."""
        if self._again:
            return self._again.popleft()
        task = next(self._jobs, None) if self._begun < below else None
        self._begun += task is not None
        return task

    def deaths(self, task: ProcessTask) -> int:
        """How often the process that did it has died, this time included."""
        self._deaths[task.number] += 1
        return self._deaths[task.number]

    def try_again(self, task: ProcessTask) -> None:
        self._again.append(task)


class Processes:
    """As many processes, started when there is work for them."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._idle: list[WorkerProcess] = []
        self._busy: dict[WorkerProcess, ProcessTask] = {}

    def in_order(self, jobs: Iterable[Job], on_progress: OnProgress = ignore) -> Generator[Any, None, None]:
        backlog, progress = Backlog(jobs), Progress(on_progress)
        outcomes: dict[int, Any] = {}
        due = 0
        try:
            while True:
                while due in outcomes:
                    yield outcomes.pop(due)
                    due += 1
                self._give_out(backlog, below=due + AHEAD * self._count)
                if not self._busy:
                    return
                outcomes |= self._hear(backlog, progress)
        finally:
            self._end([*self._busy])

    def close(self) -> None:
        self._end([*self._busy, *self._idle])

    def _give_out(self, backlog: Backlog, below: int) -> None:
        while len(self._busy) < self._count and (task := backlog.next(below)):
            worker = self._ready()
            self._busy[worker] = task
            worker.send(task.job)

    def _ready(self) -> WorkerProcess:
        """An idle process that is alive, else a new one."""
        while self._idle:
            worker = self._idle.pop()
            if not worker.is_dead:
                return worker
            worker.end()
        return WorkerProcess()

    def _hear(self, backlog: Backlog, progress: Progress) -> dict[int, Any]:
        """What the busy processes have to say, after a moment's wait: the outcomes of jobs that ended, by number."""
        outcomes: dict[int, Any] = {}
        speaking = wait([worker.connection for worker in self._busy], POLL_SECONDS)
        for worker, task in [*self._busy.items()]:
            if worker.connection not in speaking and not worker.is_dead:
                continue
            try:
                said = worker.receive()
            except WorkerDiedError as death:
                del self._busy[worker]
                deaths = backlog.deaths(task)
                progress.begin_anew(task.number)
                if deaths <= RETRIES:
                    backlog.try_again(task)
                    continue
                said = Finished(died_too_often(deaths, str(death)))
            else:
                if isinstance(said, Told):
                    progress.tell(task.number, said.share, said.text)
                    continue
                self._idle.append(worker)
                del self._busy[worker]
            outcomes[task.number] = said.outcome
            progress.finish(task.number)
        return outcomes

    def _end(self, workers: list[WorkerProcess]) -> None:
        for worker in workers:
            worker.ask_to_end()
        for worker in workers:
            worker.end()
            self._busy.pop(worker, None)
        self._idle = [worker for worker in self._idle if worker not in workers]
