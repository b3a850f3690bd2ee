"""The player of targets in Python: load one, then play what is asked until the input ends. WIRE.md is its manual.

It needs Python 3.9, NumPy, and what the target needs.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import platform
import sys
import time
import warnings
from typing import IO, Any

import numpy as np

from harness.targets.describe import describe
from harness.targets.device import DeviceError, on_device
from harness.targets.load import TargetError, load, working_directory
from harness.targets.play import play_as_given
from harness.targets.player import Observation
from harness.targets.wire.answer import played, started
from harness.targets.wire.request import script_from

Notes = dict[str, str]
"""Note id -> text, of what was noticed while a script was played."""


def main() -> None:
    requests, answers = _streams()
    _die_first()
    _serve(requests, answers)


def _serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer one request after another. The first is the start."""
    start = json.loads(requests.readline() or "{}")
    if not start:
        return
    try:
        factory, answer = _started(start)
    except TargetError as error:
        _send(answers, {"ok": False, "error": str(error)})
        return
    _send(answers, answer)
    gc.freeze()  # a framework's own half million objects need not be looked through time and again
    gc.set_threshold(10_000)
    gc.enable()
    worker = _Worker(factory, start["device"], answers)
    for line in requests:
        request = json.loads(line)
        if request["cmd"] == "stop":
            os._exit(0)  # at once: nothing that a target left behind may hold it up
        worker.answer(request)


def _started(start: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """(the target's factory, the first answer). Raises TargetError."""
    name, device = start["target"], start["device"]
    try:
        factory = load(name, start.get("layer", ""), start.get("through", ""))
        description = describe(factory, device)
    except DeviceError as error:
        raise TargetError(f"target {on_device(name, device)!r}: {error}") from error
    except SystemExit as error:
        raise TargetError(f"target {name!r}: importing it called sys.exit({error.code!r})") from error
    called = getattr(factory, "__name__", "") or type(factory).__name__
    try:
        answer = started(description, called, f"Python {platform.python_version()}")
        json.dumps(answer)
    except (TypeError, ValueError) as error:
        raise TargetError(f"target {name!r}: what it declares cannot be read: {error}") from error
    return factory, answer


class _Worker:
    """Plays requests on one target."""

    def __init__(self, factory: Any, device: str, answers: IO[bytes]) -> None:
        self.factory, self.device, self.answers = factory, device, answers
        self.process = os.getpid()

    def answer(self, request: dict[str, Any]) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                content = self._repeated(request) if request["cmd"] == "repeat" else self._played(request)
        except SystemExit as error:
            content = {"exit": f"it called sys.exit({error.code!r})"}
        except KeyboardInterrupt:
            content = {"exit": "it raised KeyboardInterrupt"}
        if os.getpid() != self.process:  # the target forked, and this is the copy: one of the two answers
            os._exit(0)
        _send(self.answers, {"seq": request["seq"], **content})

    def _played(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            script = script_from(request, self.device)
        except ImportError as error:
            return {"unsupported": f"bfloat16 needs ml_dtypes: {error}"}
        before = _global_state()
        with np.errstate(all="ignore") if request.get("warm_up") else contextlib.nullcontext():
            observation = play_as_given(self.factory, script, request["channel_axis"], self.device)
        notes = {} if request.get("warm_up") else _changes(before, _global_state())
        notes = {**notes, **getattr(self.factory, "adapter_notes", {})}
        return {**played(observation), **({"notes": notes} if notes else {})}

    def _repeated(self, request: dict[str, Any]) -> dict[str, Any]:
        """Scripts played in turn until one is not to the bit what it was at first: the first of each, and that one."""
        scripts = [(script_from(script, self.device), script["channel_axis"]) for script in request["scripts"]]
        until = time.monotonic() + request["seconds"]
        first: dict[int, Observation] = {}
        given: list[Any] = []
        for play in range(request["plays"]):
            number = play % len(scripts)
            observation = play_as_given(self.factory, *scripts[number], self.device)
            differs = not observation.same_as(first.setdefault(number, observation))
            if differs or play == number:
                given.append([number, played(observation)])
            if differs or time.monotonic() > until:
                break
        return {"plays": play + 1, "given": given}


def _send(answers: IO[bytes], answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer).encode("ascii") + b"\n")
    answers.flush()


def _global_state() -> dict[str, Any]:
    random: Any = np.random.get_state()  # noqa: NPY002 - the legacy state is what a careless target would change
    return {
        "NumPy's error handling": np.geterr(),
        "NumPy's global random state": (str(random[0]), bytes(np.asarray(random[1]).tobytes()), random[2]),
        "the working directory": working_directory(),
        "the environment variables": dict(os.environ),
    }


def _changes(before: dict[str, Any], after: dict[str, Any]) -> Notes:
    changed = [what for what in before if before[what] != after[what]]
    return {"global_state_changed": f"it changes {' and '.join(changed)}"} if changed else {}


def _streams() -> tuple[IO[bytes], IO[bytes]]:
    """(requests, answers). What the target prints, in C code as well, goes where stderr goes: to a file."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout = sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace")
    return requests, answers


def _die_first() -> None:
    """Where the kernel must end a process for want of memory, let it be this one."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write("1000")
