"""Jobs for tests: functions of a module, which the processes that do them import."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from harness.errors import UsageError


def square(number, tell):
    tell(0.5, f"number {number}")
    return number * number


def element(number, array, _tell):
    return array[number]


def slow_first(number, tell):
    """The first ends last."""
    time.sleep(0.1 if number == 0 else 0.0)
    return square(number, tell)


def fail(number, _tell):
    raise (UsageError if number == 0 else ValueError)(f"number {number}\ncannot be done")


def unpicklable(_number, _tell):
    return lambda: None


def die(_argument, _tell):
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(flag, _tell):
    """`flag`: a file that is there after the first time."""
    if not Path(flag).exists():
        Path(flag).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def for_ever(folder, tell):
    """Leaves a file named by its process, which it removes when it is broken off."""
    mark = Path(folder) / f"{os.getpid()}-{time.monotonic_ns()}"
    mark.touch()
    try:
        while True:
            tell(0.0, "")
            time.sleep(0.01)
    finally:
        mark.unlink()


def silent(folder, _tell):
    """Leaves a file named by its process, and hears of nothing."""
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(300)
