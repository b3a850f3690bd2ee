"""Where a mistake departs from the oracle: what tells, without replaying them together, which two may go together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from harness.cases.case import Script
from harness.diagnose import tuning
from harness.diagnose.misfit import Misfit, quietly
from harness.diagnose.replay import all_steps, replayed
from harness.judge.expected import Expected
from harness.judge.oracle import OracleLayer
from harness.judge.report import PlayedCase
from reference.conventions import Conventions

Place = tuple[int, str]
"""(number of the step, observable)"""

Distances = list[dict[str, float] | None]
"""Of each step, by observable and in tolerances; None, the last of them, for the step that raises."""


@dataclass
class Departures:
    """Where something departs from the oracle, clearly or possibly."""

    clear: set[Place] = field(default_factory=set)
    possible: set[Place] = field(default_factory=set)

    def add(self, place: Place, in_tolerances: float) -> None:
        if in_tolerances > 1 / tuning.CLEAR_FACTOR:
            self.possible.add(place)
        if in_tolerances > tuning.CLEAR_FACTOR:
            self.clear.add(place)


@quietly
def departures_of_target(played: PlayedCase) -> Departures:
    """Where the target departs from the oracle."""
    departures = Departures()
    for number, (result, expected) in enumerate(zip(played.observation.steps, played.expected, strict=False)):
        for name, got in result.values.items():
            if name in expected.values:
                deviation = Misfit(played, number, name, got, expected.values[name])
                departures.add((number, name), deviation.in_tolerances())
    return departures


def departures_of(layer: type[OracleLayer], played: PlayedCase, conventions: Conventions) -> Departures | None:
    """Where a mistake would depart from the oracle, among what was observed. None where it raises."""
    distances = distances_of(layer, played, conventions)
    departures = Departures()
    for number, (result, of_step) in enumerate(zip(played.observation.steps, distances, strict=False)):
        if of_step is None:
            return None
        for name in result.values:
            if name in of_step:
                departures.add((number, name), of_step[name])
    return departures


_DISTANCES: WeakKeyDictionary[Script, dict[Any, tuple[list[Expected], Distances]]] = WeakKeyDictionary()


def distances_of(layer: type[OracleLayer], played: PlayedCase, conventions: Conventions) -> Distances:
    """How far a mistake departs from the oracle in each step of the script.

    No target has a say in it: what was found for one is kept for the next, for as long as the script is.
    """
    of_script = _DISTANCES.setdefault(played.script, {})
    key = (layer, conventions, tuning.SLACK, tuning.NOT_ROUNDING)
    if key not in of_script or of_script[key][0] is not played.expected:
        of_script[key] = played.expected, _distances(layer, played, conventions)
    return of_script[key][1]


@quietly
def _distances(layer: type[OracleLayer], played: PlayedCase, conventions: Conventions) -> Distances:
    distances: Distances = []
    for number, values in enumerate(replayed(layer, all_steps(played), conventions)):
        if values is None:
            return [*distances, None]
        expected = played.expected[number].values
        names = values.keys() & expected.keys()
        distances.append(
            {name: Misfit(played, number, name, values[name], expected[name]).in_tolerances() for name in names}
        )
    return distances


@quietly
def matched_places(
    layer: type[OracleLayer], played: PlayedCase, conventions: Conventions, departures: Departures | None
) -> set[Place]:
    """Where the mistake clearly departs from the oracle, and the target has the mistake's number."""
    matched: set[Place] = set()
    if departures is None or not departures.clear:
        return matched
    for number, values in enumerate(replayed(layer, played, conventions)):
        for name, got in played.observation.steps[number].values.items():
            if (number, name) in departures.clear and values is not None:
                deviation = Misfit(played, number, name, got, values[name])
                if deviation.in_tolerances() <= tuning.CLEAR_FACTOR:
                    matched.add((number, name))
    return matched


def could_be_both(target: Departures, mistakes: list[Departures | None]) -> np.ndarray:
    """(k, k) booleans for k mistakes: which two of them may together explain a case.

    What the target clearly shows, one of the two must possibly move; what one clearly moves, and the other does not,
    the target must show. The target did not raise: a mistake that does has no part in it.
    """
    moved = [mistake or Departures() for mistake in mistakes]
    places = sorted(target.clear.union(*(mistake.clear for mistake in moved)))
    shows = np.array([place in target.clear for place in places], bool)
    may_show = np.array([place in target.possible for place in places], bool)
    clear = _table([mistake.clear for mistake in moved], places)
    still = ~_table([mistake.possible for mistake in moved], places)
    missed, beyond = (shows & still).astype(np.float32), (clear & ~may_show).astype(np.float32)
    alone = beyond @ still.astype(np.float32).T
    raises = np.array([mistake is None for mistake in mistakes], bool)
    return (missed @ missed.T + alone + alone.T == 0) & ~raises & ~raises[:, None]


def _table(moved: list[set[Place]], places: list[Place]) -> np.ndarray:
    """(k, places) booleans."""
    return np.array([[place in of_mistake for place in places] for of_mistake in moved], bool).reshape(
        len(moved), len(places)
    )


def do_not_meet(a: Departures | None, b: Departures | None, matched_by_a: set[Place], matched_by_b: set[Place]) -> bool:
    """Whether what only one of two mistakes moves is as that one alone would have it."""
    if a is None or b is None:
        return False
    return a.clear - b.possible <= matched_by_a and b.clear - a.possible <= matched_by_b
