"""A target in a process of its own: a crash, a hang or a leak is a verdict, not an accident.

One process a target, started anew after a death; it speaks the wire (WIRE.md), so it may be a program in any language.
What the process prints is kept aside and shown when it dies. The time limit is per case; importing the target and a
first call per shape (compilation) have their own. A first call that uses no processor time is not compiling: it has
the case's limit.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.cases.script import Script
from harness.errors import UsageError
from harness.findings import Note
from harness.targets.axis import for_suite, for_target
from harness.targets.channel import ChannelError
from harness.targets.device import on_device, split_device
from harness.targets.launch import Launch
from harness.targets.load import TargetError
from harness.targets.play_twice import WarmedUp, play_twice
from harness.targets.player import Death, DeathCause, Description, Observation, Repeated
from harness.targets.process import Printed, TargetProcess
from harness.targets.through.names import join_through, split_through
from harness.targets.wire.arrays import WireError
from harness.targets.wire.reading import (
    answer_from,
    description_from,
    notes_from,
    observation_from,
    one_line,
    repeated_from,
)
from harness.targets.wire.request import play_body, play_line, repeat_line, start_line, stop_line

CASE_SECONDS = 30.0
IMPORT_SECONDS = 120.0
WARM_UP_SECONDS = 60.0
MEMORY_GROWTH = 4 * 2**30
"""Bytes that a target may take beyond what it held after its import. No case needs a hundredth of it."""
DEATHS_ALLOWED = 2
POLL_SECONDS = 0.01
IMPORT, FIRST_CALL, CASE = "importing it", "its first call at this shape", "this case"
BUSY_SHARE = 0.05
"""A process that computes uses more of a processor than this; one that waits for ever uses none."""


class IsolatedTarget:
    """The parent's end of a target's process. `play` answers an Observation or a Death, and raises for neither.

    python: the interpreter of another environment, in which the target is played.
    """

    def __init__(
        self,
        target: str,
        timeout: float = CASE_SECONDS,
        layer: str = "",
        *,
        memory_growth: int = MEMORY_GROWTH,
        threads: int | None = None,
        python: str | None = None,
    ) -> None:
        self.layer = layer
        whole, self.transformation = split_through(target)
        self.target, self.device = split_device(whole)
        self.launch = Launch(self.target, self.device, layer, threads, python)
        self.name = join_through(on_device(self.target, self.device, layer), self.transformation)
        self.timeout = timeout
        self.memory_growth = memory_growth
        self.deaths = 0
        self.last_death: Death | None = None
        self._notes: dict[str, str] = {}
        self._printed = Printed()
        self._process: TargetProcess | None = None
        self._is_idle = False
        self._number = 0
        self._warmed_up = WarmedUp()
        self._description: Description | None = None
        self._start_error = ""
        self.repeats = False
        """Whether its process can repeat scripts by itself: it does in Python."""
        self._narrowed: dict[str, Any] = {}
        """What the smoke check found that it takes: ranks, dtypes. It outlives the process."""
        self._memory_limit = 0
        self._start()

    def _start(self) -> None:
        """Start the process and ask it to load the target; `describe` waits for the answer, and says what failed."""
        try:
            self._process = TargetProcess(self.launch, self._printed)
        except UsageError as error:
            self._start_error = str(error)
            return
        except (OSError, ValueError) as error:
            self._start_error = f"target {self.name!r} cannot be started: {error}"
            return
        self._number, self._warmed_up, self._is_idle = 0, WarmedUp(), False
        self._process.channel.start(
            start_line(self.target, self.device, self.launch.threads, self.layer, self.transformation)
        )

    def narrow(self, *, ranks: tuple[int, ...], dtypes: tuple[str, ...]) -> Description:
        """Ask less of the target from now on: its description with other ranks and dtypes."""
        self._narrowed = {"ranks": ranks, "dtypes": dtypes}
        self._description = replace(self.describe(), **self._narrowed)
        return self._description

    def untransformed(self) -> IsolatedTarget | None:
        """Another player, of the same target without the transformation; None where there is none."""
        if not self.transformation:
            return None
        return IsolatedTarget(
            f"{self.target}@{self.device}",
            self.timeout,
            self.layer,
            memory_growth=self.memory_growth,
            threads=self.launch.threads,
            python=self.launch.python,
        )

    @property
    def given_up(self) -> bool:
        return self.deaths >= DEATHS_ALLOWED

    def describe(self) -> Description:
        """Wait for the import. Raises TargetError if the target cannot be loaded."""
        if self._description is None:
            if self._start_error:
                raise TargetError(self._start_error)
            answer = self._answer(IMPORT_SECONDS, IMPORT)
            if isinstance(answer, Death):
                raise TargetError(f"target {self.name!r}: {answer.message}")
            self._description = replace(self._described(answer), **self._narrowed)
            self._memory_limit = self._memory() + self.memory_growth
        return self._description

    def _described(self, answer: dict[str, Any]) -> Description:
        if answer.get("ok") is not True:
            error = answer.get("error")
            raise TargetError(one_line(error) if isinstance(error, str) else f"target {self.name!r} did not start")
        try:
            description = description_from(answer, self.device)
        except WireError as error:
            raise TargetError(f"target {self.name!r}: {error}") from None
        self.repeats = answer.get("implementation", {}).get("repeats") is True
        return description

    def play(self, script: Script, channel_axis: int) -> Observation | Death:
        """Play a script in the process, which is started anew if the last case ended it."""
        if self.given_up and self.last_death:
            return self.last_death
        self._make_ready()
        given = for_target(script, channel_axis)
        body = play_body(given, channel_axis)
        answer = play_twice(lambda warm_up: self._play_once(given, body, warm_up), given, self._warmed_up)
        return answer if isinstance(answer, Death) else for_suite(answer, script, channel_axis)

    def play_in_turn(self, scripts: list[Script], channel_axis: int, plays: int, seconds: float) -> Repeated | Death:
        """Have scripts that were played before played in turn until one gives something else, or the limits are met.

        The process compares them itself: to send what they take and give is most of what a play costs. Only where
        `repeats`.
        """
        self._make_ready()
        given = [for_target(script, channel_axis) for script in scripts]
        bodies = [play_body(script, channel_axis) for script in given]
        self._number += 1
        answer = self._asked(repeat_line(self._number, bodies, plays, seconds), seconds + self.timeout, CASE)
        if isinstance(answer, Death):
            return answer
        try:
            if death := self._exited(answer):
                return death
            repeated = repeated_from(answer, given)
        except WireError as error:
            return self._unreadable(error)
        for number, observation in repeated.given:
            for_suite(observation, scripts[number], channel_axis)
        return repeated

    def _make_ready(self) -> None:
        if self._process is None:
            self._start()
            self._description = None
        self.describe()

    def _play_once(self, script: Script, body: str, warm_up: bool) -> Observation | Death:
        self._number += 1
        line = play_line(self._number, body, warm_up)
        longest = WARM_UP_SECONDS if self.deaths == 0 else self.timeout
        answer = self._asked(line, *((max(longest, self.timeout), FIRST_CALL) if warm_up else (self.timeout, CASE)))
        try:
            return answer if isinstance(answer, Death) else self._observed(answer, script)
        except WireError as error:
            return self._unreadable(error)

    def _asked(self, line: bytes, seconds: float, doing: str) -> dict[str, Any] | Death:
        assert self._process is not None
        self._is_idle = False
        try:
            self._process.channel.send(line)
        except ChannelError as error:
            return self._unreadable(error)
        return self._answer(seconds, doing)

    def _unreadable(self, error: Exception) -> Death:
        return self._died(DeathCause.crashed, f"its answer could not be read: {error}")

    def _observed(self, answer: dict[str, Any], script: Script) -> Observation | Death:
        if death := self._exited(answer):
            return death
        self._notes |= notes_from(answer)
        return observation_from(answer, script)

    def _exited(self, answer: dict[str, Any]) -> Death | None:
        """The Death of a target that tried to end its process. Raises WireError for an answer to another request."""
        if answer.get("seq") != self._number:
            raise WireError(f"seq is {answer.get('seq')!r:.20}; the request's was {self._number}")
        if isinstance(answer.get("exit"), str):
            return self._count(Death(DeathCause.crashed, one_line(answer["exit"])))
        return None

    def _answer(self, seconds: float, doing: str) -> dict[str, Any] | Death:
        """The answer to the request, or the Death that came instead."""
        assert self._process is not None
        started, worked = time.monotonic(), self._processor_seconds()
        while True:
            try:
                line = self._process.channel.receive(POLL_SECONDS)
                if line is not None:
                    self._is_idle = True
                    return answer_from(line)
            except EOFError:
                return self._died(DeathCause.crashed, self._process.how_it_ended())
            except (ChannelError, WireError) as error:
                return self._unreadable(error)
            self._printed.keep_short()
            if self._memory_limit and self._memory() > self._memory_limit:
                limit = f"{self.memory_growth / 2**30:.3g} GiB"
                return self._died(DeathCause.crashed, f"took more than {limit} of memory in one case")
            waited = time.monotonic() - started
            if doing == FIRST_CALL and waited > self.timeout:
                idle = self._processor_seconds() - worked < BUSY_SHARE * waited
                seconds = self.timeout if idle else seconds
            if waited > seconds:
                return self._died(DeathCause.timed_out, f"no answer within {seconds:g} s of {doing}")

    def _memory(self) -> int:
        return self._process.resident_bytes() if self._process else 0

    def _processor_seconds(self) -> float:
        return self._process.processor_seconds() if self._process else 0.0

    def printed(self) -> str:
        """What the target wrote to stdout and stderr, on one line; the end of it, where it wrote much."""
        return self._printed.text()

    def notes(self) -> list[Note]:
        """What was noticed while it played, and whether it printed anything."""
        notes = [Note(id, text) for id, text in self._notes.items()]
        printed = self.printed()
        if printed:
            shown = printed.replace(str(Path.home()), "~")[:120]  # pages with it may be published
            notes.append(Note("prints", f"it writes to stdout or stderr: {shown}"))
        return notes

    def _died(self, cause: DeathCause, message: str) -> Death:
        self._stop()
        return self._count(Death(cause, message))

    def _count(self, death: Death) -> Death:
        self.deaths += 1
        self.last_death = death
        return death

    def _stop(self, ask: bool = False) -> None:
        """End the process. ask: let it end by itself first, if it waits for a request."""
        process, self._process = self._process, None
        if process is not None:
            process.end(stop_line() if ask and self._is_idle else None)

    def close(self) -> None:
        """End the process and remove the file of its output."""
        self._stop(ask=True)
        self._printed.remove()

    def __enter__(self) -> IsolatedTarget:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
