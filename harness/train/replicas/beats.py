"""What each rank says of itself while it runs, in memory that the watching process shares: who hangs, and in what."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

PID, BEAT, DONE, CALLS, IN_CALL, BYTES, LOST, READY = COLUMNS = range(8)
"""The columns: process id; when it last beat, in seconds of the machine's clock; examples trained on; how often it has
entered a collective call; whether it is in one, or waits for the other ranks otherwise; how many bytes it has handed to
them; whether one has failed; whether it is ready for the first step."""
BEAT_SECONDS = 0.25
READY_POLL_SECONDS = 0.02


def new_beats(path: Path, ranks: int) -> np.ndarray:
    """(ranks, columns), zeros."""
    return np.memmap(path, np.float64, "w+", shape=(ranks, len(COLUMNS)))


def beats_of(path: Path, ranks: int) -> np.ndarray:
    return np.memmap(path, np.float64, "r+", shape=(ranks, len(COLUMNS)))


def keep_beating(row: np.ndarray, is_wanted: Callable[[], bool], give_up: Callable[[], None]) -> None:
    """From a thread of its own, so that only a process that does not run at all falls silent."""

    def beat() -> None:
        while is_wanted():
            row[BEAT] = time.monotonic()
            time.sleep(BEAT_SECONDS)
        give_up()

    threading.Thread(target=beat, daemon=True).start()


def counted(call: Callable[..., Any], row: np.ndarray, bytes_of: Callable[..., int]) -> Callable[..., Any]:
    """A collective call that is told in `row`."""

    def counting(*arguments: Any, **keywords: Any) -> Any:
        row[BYTES] += bytes_of(*arguments)
        row[CALLS] += 1
        row[IN_CALL] = 1
        try:
            return call(*arguments, **keywords)
        except RuntimeError:
            row[LOST] = 1
            raise
        finally:
            row[IN_CALL] = 0

    return counting


@contextlib.contextmanager
def waiting(row: np.ndarray) -> Iterator[None]:
    """While the rank waits for the others outside of a collective call."""
    row[IN_CALL] = 1
    try:
        yield
    finally:
        row[IN_CALL] = 0


def wait_until_all_are_ready(beats: np.ndarray, rank: int) -> None:
    """beats: (ranks, columns). Whoever watches ends a rank that never is, and with it all."""
    beats[rank, READY] = 1
    with waiting(beats[rank]):
        while not beats[:, READY].all():
            time.sleep(READY_POLL_SECONDS)
