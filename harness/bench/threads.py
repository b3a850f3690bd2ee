"""How many threads a framework may compute with, where nothing has started it yet."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def at_most(threads: int | None) -> Iterator[None]:
    """Keep this process to so many of its CPUs. JAX has no other way, and sees it only before it is first used."""
    if threads is None or not hasattr(os, "sched_setaffinity"):
        yield
        return
    cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(cpus)[:threads])
    try:
        yield
    finally:
        os.sched_setaffinity(0, cpus)
