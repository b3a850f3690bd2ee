"""Every known mistake beside one step of a target at once: nearly all are ruled out there."""

from __future__ import annotations

from collections.abc import Sequence
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


@dataclass(frozen=True)
class Rows:
    """What several layers give in one step, the observables of a target end to end."""

    layers: tuple[type[OracleLayer], ...]
    values: np.ndarray
    """One row a layer."""


def not_ruled_out(suspects: list[Suspect], evidence: Evidence) -> list[Suspect]:
    """The suspects less those that one step shows to be wrong: of these `Evidence.explained_by` says no.

    The step is one that shows the oracle to be wrong too.
    """
    small = (played for played in evidence.shortest_first if is_small(played.script))
    for played in islice((played for played in small if step_that_shows_it(played) is not None), CASES):
        compared = evidence.in_any_mode(played)
        number = step_that_shows_it(compared)
        if number is not None:
            layers = tuple(dict.fromkeys(suspect.layer for suspect in suspects if suspect.layer in FIXED))
            ruled_out = layers_ruled_out(compared, number, layers, evidence.conventions)
            return [suspect for suspect in suspects if suspect.layer not in ruled_out]
    return suspects


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
    for layer in layers:
        given = kept_replay(layer, script, conventions)  # type: ignore[arg-type]  # it is hashable
        for values in islice(given, step, step + 1):
            if values is not None and shapes_of(names, values) == shapes:
                rows[layer] = np.concatenate([values[name].ravel() for name in names])
    return Rows(tuple(rows), np.stack([*rows.values()]) if rows else np.zeros((0, sum(map(prod, shapes)))))


def shapes_of(names: Sequence[str], values: Values) -> tuple[tuple[int, ...], ...]:
    return tuple(values[name].shape for name in names if name in values)
