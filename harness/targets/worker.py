"""A target's own process: load it, then play what is sent until the input ends.

Started as `python -m harness.targets.worker NAME LAYER DEVICE`. It answers ("ready", Description) or ("error",
message), then for each (number, script, channel axis) first ("warm", number, None), then ("played", number, ...).
"""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np

from harness.cases.case import Script
from harness.targets.channel import receive, send
from harness.targets.describe import describe
from harness.targets.device import DeviceError, on_device
from harness.targets.load import TargetError, load, working_directory
from harness.targets.play import play
from harness.targets.player import Observation

Notes = dict[str, str]
"""Note id -> text, of what was noticed while a script was played."""


def main() -> None:
    requests, answers = _streams()
    name, layer, device = sys.argv[1:]
    _die_first()
    _serve(requests, answers, name, layer, device)


def _serve(requests: IO[bytes], answers: IO[bytes], name: str, layer: str, device: str) -> None:
    try:
        factory = load(name, layer)
        send(answers, ("ready", 0, describe(factory, device)))
    except TargetError as error:
        send(answers, ("error", 0, str(error)))
        return
    except DeviceError as error:
        send(answers, ("error", 0, f"target {on_device(name, device)!r}: {error}"))
        return
    except SystemExit as error:
        send(answers, ("error", 0, f"target {name!r}: importing it called sys.exit({error.code!r})"))
        return
    worker = _Worker(factory, device, answers)
    while True:
        try:
            number, script, channel_axis = receive(requests)
        except EOFError:
            return
        worker.answer(number, script, channel_axis)


@dataclass
class _Worker:
    factory: Any
    device: str
    answers: IO[bytes]
    warm: set[tuple] = field(default_factory=set)
    """The operations, shapes and dtypes that were called before."""
    process: int = field(default_factory=os.getpid)

    def answer(self, number: int, script: Script, channel_axis: int) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                first = self._warm_up(script, channel_axis)
                self._send("warm", number, None)
                before = _global_state()
                observation = play(self.factory, script, channel_axis, self.device)
                if first is not None and not observation.same_as(first):
                    observation.first = first
                notes = _changes(before, _global_state()) | getattr(self.factory, "adapter_notes", {})
            self._send("played", number, (observation, notes))
        except SystemExit as error:
            self._send("exit", number, f"it called sys.exit({error.code!r})")
        except KeyboardInterrupt:
            self._send("exit", number, "it raised KeyboardInterrupt")

    def _send(self, kind: str, number: int, content: Any) -> None:
        if os.getpid() != self.process:  # the target forked, and this is the copy: one of the two answers
            os._exit(0)
        send(self.answers, (kind, number, content))

    def _warm_up(self, script: Script, channel_axis: int) -> Observation | None:
        """The first call per shape, dtype and operation pays for compilation, outside the case's time limit.

        Returns what it gave; None where all was called before.
        """
        wanted = {(step.op, step.x.shape, step.x.dtype.name) for step in script.steps if step.x is not None}
        if wanted <= self.warm:
            return None
        self.warm |= wanted
        with contextlib.suppress(Exception), np.errstate(all="ignore"):
            return play(self.factory, script, channel_axis, self.device)
        return None


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


if __name__ == "__main__":
    main()
