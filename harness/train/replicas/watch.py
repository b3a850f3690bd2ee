"""Which rank hangs? One that does not run at all, or one for which the others wait in a collective call."""

from __future__ import annotations

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


def is_stopped(pid: int) -> bool:
    """Whether the system has stopped the process until it is told to go on. False where there is no /proc to ask."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in ("T", "t")
    except (OSError, IndexError):
        return False


class Watch:
    """Looks at the beats of all ranks. beats: (ranks, columns), shared with them."""

    def __init__(self, beats: np.ndarray) -> None:
        self.beats = beats
        self.progress: tuple[float, ...] = ()
        self.since = time.monotonic()

    def who_hangs(self) -> str:
        """ "rank 2 (process 123) ...", or "" as long as all go on."""
        now, beats = time.monotonic(), np.array(self.beats)
        for rank, row in enumerate(beats):
            silent = now - row[BEAT] if row[BEAT] else 0.0
            if silent > SILENT_SECONDS or (silent > STOPPED_SECONDS and is_stopped(int(row[PID]))):
                return f"rank {rank} (process {int(row[PID])}) has not run for {silent:.0f} s"
        progress = tuple(beats[:, [CALLS, DONE]].ravel())
        if progress != self.progress or not beats[:, CALLS].all():
            self.progress, self.since = progress, now
        waited = now - self.since
        if waited < STUCK_SECONDS:
            return ""
        rank = int(np.lexsort((beats[:, IN_CALL], beats[:, CALLS]))[0])
        return f"rank {rank} (process {int(beats[rank, PID])}) has kept the others waiting for {waited:.0f} s"
