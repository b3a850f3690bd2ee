"""Every known mistake beside one step of a target at once: nearly all are ruled out there."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from math import prod

import numpy as np

from harness.cases.script import Script
from harness.diagnose import tuning
from harness.diagnose.evidence import Evidence
from harness.diagnose.misfit import quietly
from harness.diagnose.replay import FIXED, Values, is_small, kept_replay
from harness.diagnose.side_by_side import SideBySide, end_to_end
from harness.diagnose.suspects import Suspect
from harness.judge.oracle import OracleLayer
from harness.judge.report import PlayedCase
from reference.conventions import Conventions

LINE_UPS = 32
"""How many are kept. One takes 2 MB as a rule, and 40 MB at most."""
CASES = 4
"""In how many cases a step is looked for: the wider bounds of any mode, which a case may need, take time to make."""
SHOWN = 16
"""Among how many cases that show a mistake one is looked for whose mistakes were lined up for another target."""

_LINED_UP: deque[tuple[Script, int]] = deque(maxlen=LINE_UPS)
"""The steps of those that are kept."""


@dataclass(frozen=True)
class Rows:
    """What several layers give in one step, the observables of a target end to end."""

    layers: tuple[type[OracleLayer], ...]
    values: np.ndarray
    """One row a layer."""


def not_ruled_out(suspects: list[Suspect], evidence: Evidence) -> list[Suspect]:
    """The suspects less those that one step shows to be wrong: of these `Evidence.explained_by` says no."""
    layers = tuple(dict.fromkeys(suspect.layer for suspect in suspects if suspect.layer in FIXED))
    ruled_out: set[type[OracleLayer]] = set()
    for played, number in steps_that_tell(evidence):
        ruled_out |= layers_ruled_out(played, number, layers, evidence.conventions)
    return [suspect for suspect in suspects if suspect.layer not in ruled_out]


def steps_that_tell(evidence: Evidence) -> Iterator[tuple[PlayedCase, int]]:
    """Small cases in any mode, each with a step that shows the oracle to be wrong too.

    Those that were lined up for another target cost next to nothing; of others the first alone.
    """
    small = (played for played in evidence.shortest_first if is_small(played.script))
    steps = ((played, step_that_shows_it(played)) for played in small)
    show_it = islice(((played, step) for played, step in steps if step is not None), SHOWN)
    told = False
    for played, step in sorted(show_it, key=lambda shown: not is_lined_up(*shown))[:CASES]:
        if told and not is_lined_up(played, step):
            return
        compared = evidence.in_any_mode(played)
        number = step_that_shows_it(compared)
        if number is not None:
            told = True
            yield compared, number


def is_lined_up(played: PlayedCase, step: int) -> bool:
    return (played.script, step) in _LINED_UP


@quietly
def step_that_shows_it(played: PlayedCase) -> int | None:
    """The first step in which the oracle is further from what was observed than rounding goes; None if none is.

    No step before it raised, or was not supported: those are compared otherwise.
    """
    for number, (result, expected) in enumerate(zip(played.observation.steps, played.expected, strict=False)):
        if result.error is not None or result.unsupported is not None or expected.raises:
            return None
        observed = end_to_end(played, number)
        beside = observed.beside(expected.values)
        if beside is not None and shows_a_mistake(beside):
            return number
    return None


@quietly
def layers_ruled_out(
    played: PlayedCase, step: int, layers: tuple[type[OracleLayer], ...], conventions: Conventions
) -> set[type[OracleLayer]]:
    """Those of `layers` that are further from what was observed in a step than rounding goes."""
    observed = end_to_end(played, step)
    lined_up = line_up(played.script, conventions, step, observed.names, observed.shapes, layers)
    error = np.abs(observed.got - lined_up.values)
    in_bounds = error / observed.bound
    return {
        layer
        for layer, *row in zip(lined_up.layers, lined_up.values, error, in_bounds, strict=True)
        if shows_a_mistake(SideBySide(observed, *row))
    }


def shows_a_mistake(beside: SideBySide) -> bool:
    return beside.greatest > tuning.SLACK and beside.is_no_rounding(tuning.SLACK, scaled=True)


@lru_cache(LINE_UPS)
@quietly
def line_up(
    script: Script,
    conventions: Conventions,
    step: int,
    names: tuple[str, ...],
    shapes: tuple[tuple[int, ...], ...],
    layers: tuple[type[OracleLayer], ...],
) -> Rows:
    """The rows of those layers that come to the step, and give these observables in these shapes, for any target."""
    rows: dict[type[OracleLayer], np.ndarray] = {}
    _LINED_UP.append((script, step))
    for layer in layers:
        given = kept_replay(layer, script, conventions)  # type: ignore[arg-type]  # it is hashable
        for values in islice(given, step, step + 1):
            if values is not None and shapes_of(names, values) == shapes:
                rows[layer] = np.concatenate([values[name].ravel() for name in names])
    return Rows(tuple(rows), np.stack([*rows.values()]) if rows else np.zeros((0, sum(map(prod, shapes)))))


def shapes_of(names: Sequence[str], values: Values) -> tuple[tuple[int, ...], ...]:
    return tuple(values[name].shape for name in names if name in values)
