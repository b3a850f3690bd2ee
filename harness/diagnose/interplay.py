"""Where a mistake departs from the oracle: what tells, without replaying them together, which two may go together."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.diagnose import tuning
from harness.diagnose.misfit import Deviation
from harness.diagnose.replay import replayed
from harness.judge.oracle import OracleLayer
from harness.judge.report import PlayedCase
from reference.conventions import Conventions

Place = tuple[int, str]
"""(number of the step, observable)"""


@dataclass
class Departures:
    """Where something departs from the oracle, clearly or possibly; and where the target has the mistake's number."""

    clear: set[Place] = field(default_factory=set)
    possible: set[Place] = field(default_factory=set)
    matched: set[Place] = field(default_factory=set)

    def add(self, place: Place, in_tolerances: float) -> None:
        if in_tolerances > 1 / tuning.CLEAR_FACTOR:
            self.possible.add(place)
        if in_tolerances > tuning.CLEAR_FACTOR:
            self.clear.add(place)


def departures_of_target(played: PlayedCase) -> Departures:
    """Where the target departs from the oracle."""
    departures = Departures()
    for number, (result, expected) in enumerate(zip(played.observation.steps, played.expected, strict=False)):
        for name, got in result.values.items():
            if name in expected.values:
                deviation = Deviation(played, number, name, got, expected.values[name])
                departures.add((number, name), deviation.in_tolerances())
    return departures


def departures_of(layer: type[OracleLayer], played: PlayedCase, conventions: Conventions) -> Departures | None:
    """Where a mistake would depart from the oracle, among what was observed. None where it raises."""
    departures = Departures()
    for number, values in enumerate(replayed(layer, played, conventions)):
        if values is None:
            return None
        expected = played.expected[number]
        for name, got in played.observation.steps[number].values.items():
            if name not in values or name not in expected.values:
                continue
            place, mistaken = (number, name), values[name]
            from_oracle = Deviation(played, number, name, mistaken, expected.values[name])
            departures.add(place, from_oracle.in_tolerances())
            from_target = Deviation(played, number, name, got, mistaken)
            if place in departures.clear and from_target.in_tolerances() <= tuning.CLEAR_FACTOR:
                departures.matched.add(place)
    return departures


def could_be_both(target: Departures, a: Departures | None, b: Departures | None) -> bool:
    """Whether two mistakes may together explain a case: what only one of them moves, the target must show.

    The target did not raise: a mistake that does has no part in it.
    """
    if a is None or b is None:
        return False
    return (
        target.clear <= a.possible | b.possible
        and a.clear - b.possible <= target.possible
        and b.clear - a.possible <= target.possible
    )


def do_not_meet(a: Departures | None, b: Departures | None) -> bool:
    """Whether what only one of two mistakes moves is as that one alone would have it."""
    if a is None or b is None:
        return False
    return a.clear - b.possible <= a.matched and b.clear - a.possible <= b.matched
