"""The other end: a process that does one job after another until nobody is left to ask for more."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sys
import threading
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any

from harness.jobs.job import attempt, failure_of

TELL_SECONDS = 0.1
"""Progress is passed on no more often than this."""


@dataclass(frozen=True)
class Told:
    """How far a job has got."""

    share: float
    text: str


@dataclass(frozen=True)
class Finished:
    outcome: Any
    """The job's result, or a Failure."""


class Throttled:
    """Passes on no more than one call in TELL_SECONDS."""

    def __init__(self, tell: Any) -> None:
        self._tell, self._last = tell, -TELL_SECONDS

    def __call__(self, share: float, text: str) -> None:
        now = time.monotonic()
        if now - self._last >= TELL_SECONDS:
            self._last = now
            self._tell(share, text)


def main(descriptor: int) -> None:
    """descriptor: of the socket over which jobs come."""
    os.set_inheritable(descriptor, False)
    signal.signal(signal.SIGTERM, tidy_up)
    connection = Connection(descriptor)
    jobs: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=receive, args=(connection, jobs), daemon=True).start()
    while True:
        answer(connection, jobs.get())


def tidy_up(number: int, _: Any) -> None:
    """End as after the last line. Another signal would interrupt what tidies up, with a traceback."""
    signal.signal(number, signal.SIG_IGN)
    sys.exit(128 + number)


def receive(connection: Connection, jobs: SimpleQueue[bytes]) -> None:
    """Jobs as they come. When the other end is gone, everything here ends, whatever the job is doing."""
    with contextlib.suppress(EOFError, OSError):
        while True:
            jobs.put(connection.recv_bytes())
    os.killpg(os.getpgrp(), signal.SIGKILL)


def answer(connection: Connection, pickled: bytes) -> None:
    try:
        job = pickle.loads(pickled)
        outcome = attempt(job, Throttled(lambda share, text: connection.send(Told(share, text))))
        message = pickle.dumps(Finished(outcome), protocol=pickle.HIGHEST_PROTOCOL)
    except Exception as error:  # a job or a result that cannot be pickled
        message = pickle.dumps(Finished(failure_of(error)))
    connection.send_bytes(message)
