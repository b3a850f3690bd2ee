"""The first call per operation, shape and dtype pays for compilation: a script that has one is played twice.

The first play is the warm-up, which has a time limit of its own. A target that gives something else the second time is
not deterministic, or wrong only once: what the warm-up gave is kept.
"""

from __future__ import annotations

from collections.abc import Callable

from harness.cases.script import Script
from harness.targets.player import Death, Observation


class WarmedUp:
    """What a process was called with before."""

    def __init__(self) -> None:
        self._calls: set[tuple] = set()

    def lacks(self, script: Script) -> bool:
        """Whether there is anything new in the script; the next time there is not."""
        calls = {(step.op, step.x.shape, step.x.dtype.name) for step in script.steps if step.x is not None}
        is_new = not calls <= self._calls
        self._calls |= calls
        return is_new


def play_twice(play: Callable[[bool], Observation | Death], script: Script, warmed_up: WarmedUp) -> Observation | Death:
    """What the script gives. play(True) is the warm-up, whose death is the answer."""
    if not warmed_up.lacks(script):
        return play(False)
    first = play(True)
    if isinstance(first, Death):
        return first
    observation = play(False)
    if isinstance(observation, Observation) and not observation.same_as(first):
        observation.first = first
    return observation
