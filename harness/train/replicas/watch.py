"""Which rank hangs? One that does not run at all, or one for which the others wait in a collective call."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np

from harness.train.replicas.beats import BEAT, CALLS, DONE, IN_CALL, PID

STOPPED_SECONDS = 3.0
"""How long a process may be stopped (SIGSTOP, a debugger) without a beat."""
SILENT_SECONDS = 20.0
"""A process that runs beats several times a second; this long without is no matter of a busy machine any more."""
STUCK_SECONDS = 20.0
"""How long no rank may enter a collective call, once all have entered one. A step takes a fraction of it."""
STARVED_WORK = 10.0
"""What does nothing in so many seconds of a processor hangs, however busy the machine is."""
JUST_NOW = 1.0
IDLE_SECONDS = 25.0
IDLE_WORK = 0.1
"""A rank that does not wait for others, and before its first collective call takes less than so many seconds of a
processor for so long, hangs."""


def would_run(pid: int) -> bool:
    """Whether a thread of the process runs, or would if the machine were less busy. False where nobody can tell."""
    try:
        states = [task.joinpath("stat").read_text().rpartition(")")[2].split()[0] for task in tasks_of(pid)]
    except (OSError, IndexError):
        return False
    return bool({"R", "D"} & {*states})


def tasks_of(pid: int) -> list[Path]:
    return [*Path(f"/proc/{pid}/task").iterdir()]


def is_stopped(pid: int) -> bool:
    """Whether the system has stopped the process until it is told to go on. False where there is no /proc to ask."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in ("T", "t")
    except (OSError, IndexError):
        return False


def processor_seconds(pid: int) -> float | None:
    """Of user and system, taken so far. None where nobody can tell."""
    try:
        times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        return sum(map(int, times)) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, AttributeError):
        return None


def is_starved(pid: int, before: float | None) -> bool:
    """Whether the machine is too busy for a process: it would run, and has had little of a processor since `before`."""
    taken = processor_seconds(pid)
    if taken is None or before is None or taken - before >= STARVED_WORK:
        return False
    return would_run(pid)


class Watch:
    """Looks at the beats of all ranks. beats: (ranks, columns), shared with them."""

    def __init__(self, beats: np.ndarray) -> None:
        self.beats = beats
        self.progress: tuple[float, ...] = ()
        self.since = time.monotonic()
        self.at_beat: dict[int, float | None] = {}
        """The processor seconds of each rank when it was last seen to beat."""
        self.at_progress: list[float | None] = []
        """Those at its last progress."""
        self.at_work: dict[int, tuple[float, float]] = {}
        """Of each rank before its first call: when it was last seen to work, and its processor seconds then."""

    def who_hangs(self) -> str:
        """ "rank 2 (process 123) ...", or "" as long as all go on."""
        now, beats = time.monotonic(), np.array(self.beats)
        for rank, row in enumerate(beats):
            silent = now - row[BEAT] if row[BEAT] else 0.0
            if silent < JUST_NOW:
                self.at_beat[rank] = processor_seconds(int(row[PID]))
            is_silent = silent > SILENT_SECONDS and not is_starved(int(row[PID]), self.at_beat.get(rank))
            if is_silent or (silent > STOPPED_SECONDS and is_stopped(int(row[PID]))):
                return f"rank {rank} (process {int(row[PID])}) has not run for {silent:.0f} s"
        idle = "" if beats[:, CALLS].all() else self._who_is_idle(now, beats)
        if idle:
            return idle
        progress = tuple(beats[:, [CALLS, DONE]].ravel())
        if progress != self.progress or not beats[:, CALLS].all():
            self.progress, self.since = progress, now
            self.at_progress = [processor_seconds(int(pid)) for pid in beats[:, PID]]
        waited = now - self.since
        if waited < STUCK_SECONDS:
            return ""
        rank = int(np.lexsort((beats[:, IN_CALL], beats[:, CALLS]))[0])
        if is_starved(int(beats[rank, PID]), self.at_progress[rank]):
            return ""
        return f"rank {rank} (process {int(beats[rank, PID])}) has kept the others waiting for {waited:.0f} s"

    def _who_is_idle(self, now: float, beats: np.ndarray) -> str:
        for rank, row in enumerate(beats):
            taken = processor_seconds(int(row[PID])) if row[PID] and not (row[CALLS] or row[IN_CALL]) else None
            if taken is None:
                self.at_work.pop(rank, None)
                continue
            since, before = self.at_work.setdefault(rank, (now, taken))
            if taken - before >= IDLE_WORK:
                self.at_work[rank] = now, taken
            elif now - since >= IDLE_SECONDS and not would_run(int(row[PID])):
                return f"rank {rank} (process {int(row[PID])}) has done nothing for {now - since:.0f} s at its start"
        return ""
