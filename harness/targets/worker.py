"""The child's end of `isolate.py`: load the target, then play what is sent until the pipe closes."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from harness.cases.case import Script
from harness.targets.load import TargetError, describe, load
from harness.targets.play import play


def serve(connection: Connection, name: str, output: str, directory: str) -> None:
    """Answer ("ready", Description), then for each (script, channel_axis): ("warm", None), ("played", ...)."""
    # The cases are small: threads would only wait for each other, most of all where several targets run at once.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    _redirect(output)
    os.chdir(directory)
    _die_first()
    try:
        factory = load(name)
        connection.send(("ready", describe(factory)))
    except TargetError as error:
        connection.send(("error", str(error)))
        return
    except SystemExit as error:
        connection.send(("error", f"target {name!r}: importing it called sys.exit({error.code!r})"))
        return
    warm: set[tuple] = set()
    while True:
        try:
            script, channel_axis = connection.recv()
        except (EOFError, OSError):
            return
        _answer(connection, factory, script, channel_axis, warm)


def _answer(connection: Connection, factory: Any, script: Script, channel_axis: int, warm: set[tuple]) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _warm_up(factory, script, channel_axis, warm)
            connection.send(("warm", None))
            before = _global_state()
            observation = play(factory, script, channel_axis)
            notes = _changes(before, _global_state()) | getattr(factory, "adapter_notes", {})
        connection.send(("played", (observation, notes)))
    except SystemExit as error:
        connection.send(("exit", f"it called sys.exit({error.code!r})"))
    except KeyboardInterrupt:
        connection.send(("exit", "it raised KeyboardInterrupt"))


def _warm_up(factory: Any, script: Script, channel_axis: int, warm: set[tuple]) -> None:
    """The first call per shape, dtype and operation pays for compilation, outside the case's time limit."""
    wanted = {(step.op, step.x.shape, step.x.dtype.name) for step in script.steps if step.x is not None}
    if wanted <= warm:
        return
    warm |= wanted
    with contextlib.suppress(Exception), np.errstate(all="ignore"):
        play(factory, script, channel_axis)


def _global_state() -> dict[str, Any]:
    random: Any = np.random.get_state()  # noqa: NPY002 - the legacy state is what a careless target would change
    return {
        "NumPy's error handling": np.geterr(),
        "NumPy's global random state": (str(random[0]), bytes(np.asarray(random[1]).tobytes()), random[2]),
        "the working directory": os.getcwd(),
        "the environment variables": dict(os.environ),
    }


def _changes(before: dict[str, Any], after: dict[str, Any]) -> dict[str, str]:
    changed = [what for what in before if before[what] != after[what]]
    return {"global_state_changed": f"it changes {' and '.join(changed)}"} if changed else {}


def _redirect(output: str) -> None:
    """stdout and stderr, those of C code as well, go to a file: the suite's own output stays readable."""
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    sys.stdout = sys.stderr = os.fdopen(descriptor, "w", buffering=1)


def _die_first() -> None:
    """Where the kernel must end a process for want of memory, let it be this one."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write("1000")
