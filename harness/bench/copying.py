"""How fast a machine copies memory: the limit of what only moves numbers."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

import numpy as np

BYTES = 128 << 20  # more than a cache holds
TRIES = 5


def copy_rate() -> float:
    """Bytes read and written a second by a thread on each CPU of this process, each its share. The best of several."""
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    source, target = np.ones(BYTES, np.uint8), np.zeros(BYTES, np.uint8)  # written: their pages are there
    shares = list(zip(np.array_split(target, threads), np.array_split(source, threads), strict=True))
    seconds = []
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(TRIES + 1):  # the first starts the threads
            started = perf_counter()
            list(pool.map(lambda share: np.copyto(*share), shares))
            seconds.append(perf_counter() - started)
    return 2 * BYTES / min(seconds[1:])
