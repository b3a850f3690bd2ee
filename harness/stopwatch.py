"""Where the time of a check goes: parts of the work name themselves, and are timed where somebody asks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import perf_counter

_running: ContextVar[dict[str, float] | None] = ContextVar("running", default=None)


@contextmanager
def timed() -> Iterator[dict[str, float]]:
    """Part -> seconds, of all parts that run inside."""
    seconds: dict[str, float] = defaultdict(float)
    token = _running.set(seconds)
    try:
        yield seconds
    finally:
        _running.reset(token)


@contextmanager
def part(name: str) -> Iterator[None]:
    """Work that `timed` calls `name`. Parts do not contain each other."""
    seconds = _running.get()
    if seconds is None:
        yield
        return
    started = perf_counter()
    try:
        yield
    finally:
        seconds[name] += perf_counter() - started


@contextmanager
def untimed() -> Iterator[None]:
    """Work beside what is timed, which its parts would be counted twice with."""
    token = _running.set(None)
    try:
        yield
    finally:
        _running.reset(token)
