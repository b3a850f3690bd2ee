"""One target in two processes: what is compiled for each case takes a core for seconds, and most machines have two.

All of a shape is played in the same process, in every dtype: a program is compiled once, and what a target keeps by
shape from one dtype to the next still shows. Either process could play everything.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable

from harness.cases.case import Case
from harness.cases.script import Script
from harness.findings import Note
from harness.targets.built_in import BUILT_IN
from harness.targets.device import CPU
from harness.targets.isolate import DEATHS_ALLOWED, IsolatedTarget
from harness.targets.player import Death, Description, Observation, Repeated

COMPILER = "jax"
ENOUGH = 20
"""Programs that are worth a process: as many are traced in the time in which it imports the framework."""

Shape = tuple[int, ...]


def processes_here() -> int:
    """How many processes may play one target: two, where there is a core for each."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(2, cores)


class TwoProcesses:
    """The player of both. What it promises is what `player.Player` promises; the second starts when work is divided.

    open_one: starts a process of the target. cases: what is to be played.
    """

    def __init__(self, open_one: Callable[[], IsolatedTarget], cases: Iterable[Case]) -> None:
        self._open_one = open_one
        self._seconds = shapes_of_second(cases)
        self._is_divided = False
        self.first = open_one()
        self.second = open_one() if self._may_be_divided and is_known_to_compile(self.first.target) else None
        self.name, self.transformation = self.first.name, self.first.transformation

    @property
    def _may_be_divided(self) -> bool:
        on_cpu = self.first.device == CPU  # a GPU's memory is the first's
        return bool(self._seconds) and on_cpu and not self.first.launch.is_program

    def divide(self) -> IsolatedTarget | None:
        """The second process, which plays its shapes from now on; None where it is not worth its while."""
        if self.second is None and self._may_be_divided and COMPILER in self.describe().versions:
            self.second = self._open_one()
        self._is_divided = self.second is not None
        return self.second

    def is_seconds(self, shape: Shape) -> bool:
        return self._is_divided and shape in self._seconds

    @property
    def _both(self) -> list[IsolatedTarget]:
        return [self.first] if self.second is None else [self.first, self.second]

    @property
    def deaths(self) -> int:
        return sum(each.deaths for each in self._both)

    @property
    def last_death(self) -> Death | None:
        return next((each.last_death for each in self._both if each.last_death), None)

    @property
    def given_up(self) -> bool:
        return self.deaths >= DEATHS_ALLOWED

    @property
    def repeats(self) -> bool:
        return self.first.repeats

    def describe(self) -> Description:
        return self.first.describe()

    def narrow(self, *, ranks: tuple[int, ...], dtypes: tuple[str, ...]) -> Description:
        return self.first.narrow(ranks=ranks, dtypes=dtypes)

    def untransformed(self) -> IsolatedTarget | None:
        return self.first.untransformed()

    def play(self, script: Script, channel_axis: int) -> Observation | Death:
        """One more play, by the process that played the shape before."""
        if self.given_up and self.last_death:
            return self.last_death
        x = script.steps[0].x
        if self.second is not None and x is not None and self.is_seconds(x.shape):
            return self.second.play(script, channel_axis)
        return self.first.play(script, channel_axis)

    def play_in_turn(self, scripts: list[Script], channel_axis: int, plays: int, seconds: float) -> Repeated | Death:
        return self.first.play_in_turn(scripts, channel_axis, plays, seconds)

    def notes(self) -> list[Note]:
        """Those of both; of one kind, the first's."""
        by_id = {note.id: note for each in reversed(self._both) for note in each.notes()}
        return [*by_id.values()]

    def close(self) -> None:
        for each in self._both:
            each.close()

    def __enter__(self) -> TwoProcesses:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def is_known_to_compile(target: str) -> bool:
    """Whether that is known before it is loaded, so that both processes may start at once."""
    return target in BUILT_IN and bool({"jax", "flax"} & {*BUILT_IN[target].needs.split()})


def shapes_of_second(cases: Iterable[Case]) -> frozenset[Shape]:
    """The shapes that a second process plays, about half of the work; none where that is too little.

    The same for the same cases. A program is compiled for each shape, dtype and operation; where they are constants in
    it, as in flax, for each eps and momentum too.
    """
    programs: dict[Shape, set[tuple[str, str, float, float]]] = defaultdict(set)
    for case in cases:
        programs[case.shape] |= {
            (dtype, op.rstrip("'"), case.eps, case.new_weight) for dtype in case.dtypes for op in case.script
        }
    first = second = 0
    seconds = set()
    for shape in sorted(programs, key=lambda shape: (-len(programs[shape]), shape)):
        if first <= second:
            first += len(programs[shape])
        else:
            second += len(programs[shape])
            seconds.add(shape)
    return frozenset(seconds) if second >= ENOUGH else frozenset()
