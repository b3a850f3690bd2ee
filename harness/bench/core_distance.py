"""How far two cores are from each other: the time that a cache line takes to the other one and back.

On a virtual machine the host may put the two anywhere, and move them while a benchmark runs. Cores near each other
hand over a line in some 50 ns, distant ones in ten times that; a training whose threads work on the same arrays is
then up to 1.7 times slower, while a loop that keeps one core busy is not. `throughput.py` records it with each figure.
"""

from __future__ import annotations

import mmap
import os
import signal
from time import perf_counter

BURSTS = 5
HANDOVERS = 1000  # there and back, in a burst: a quarter of a millisecond


def core_distance() -> float | None:
    """Nanoseconds there and back between the first two CPUs of this process, Python's own 100 or so included.

    The least of a few bursts; some 3 ms in all. None where there is one CPU or the system cannot pin a process to one.
    Call it in a process with one thread: it forks.
    """
    if not hasattr(os, "sched_setaffinity") or len(cpus := sorted(os.sched_getaffinity(0))) < 2:
        return None
    line = mmap.mmap(-1, mmap.PAGESIZE)  # shared with the child
    child = os.fork()
    if child == 0:
        signal.alarm(60)  # an orphan would wait forever
        os.sched_setaffinity(0, {cpus[1]})
        for _ in range(BURSTS * HANDOVERS):
            while line[0] == 0:
                pass
            line[0] = 0
        os._exit(0)
    os.sched_setaffinity(0, {cpus[0]})
    try:
        seconds = [burst(line) for _ in range(BURSTS)]
    finally:
        os.sched_setaffinity(0, cpus)
        os.kill(child, signal.SIGKILL)  # it has ended, unless a burst was interrupted
        os.waitpid(child, 0)
    return min(seconds) / HANDOVERS * 1e9


def burst(line: mmap.mmap) -> float:
    started = perf_counter()
    for _ in range(HANDOVERS):
        line[0] = 1
        while line[0] == 1:
            pass
    return perf_counter() - started
