"""Does a layer with a known mistake do what a target did? The oracle's own bounds decide, widened for what is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from harness.check import Played
from harness.oracle import Expected, OracleLayer
from harness.verdict import conclusive
from reference.conventions import Conventions
from reference.error_bounds import precision_of

SLACK = 4.0
"""The bound is that of the right arithmetic; the mistaken one has other roundings. A mistake moves 100 bounds."""
CLEARLY = 4.0
"""What two mistakes move is compared by this factor either side of the tolerance, so that no rounding decides."""

Values = dict[str, np.ndarray]
Place = tuple[int, str]  # (number of the step, observable)


def explains(layer: type[OracleLayer], played: Iterable[Played], conventions: Conventions) -> bool:
    """Whether `layer`, played through the same scripts, gives everything that was observed."""
    return all(fits(layer, one, conventions) for one in played)


def fits(
    layer: type[OracleLayer], played: Played, conventions: Conventions, only: tuple[str, str] | None = None
) -> bool:
    """The same for one case. `only` = ("train", "y") looks at nothing else, and not at steps that raised."""
    for number, values in enumerate(replayed(layer, played, conventions)):
        seen, expected = played.seen.steps[number], played.expected[number]
        if only and seen.error is not None:
            return True
        if (values is None) != (seen.error is not None):
            return False
        if values is None:
            return True
        if only and only[0] != seen.op:
            continue
        names = [name for name in seen.values if not only or name == only[1]]
        if any(excess(played, name, seen.values[name], values, expected) > 1 for name in names):
            return False
    return True


def replayed(layer: type[OracleLayer], played: Played, conventions: Conventions) -> Iterator[Values | None]:
    """What `layer` gives at each step that was observed; None, and no more, where it raises."""
    with np.errstate(all="ignore"):
        sessions = [layer.from_setup(setup, conventions) for setup in played.script.setups]
    for _, step, _ in zip(played.seen.steps, played.script.steps, played.expected, strict=False):
        try:
            with np.errstate(all="ignore"):
                values = sessions[step.session].play(step)
        except (ValueError, IndexError, ZeroDivisionError):
            yield None
            return
        yield values


def excess(played: Played, name: str, got: np.ndarray, mistaken_values: Values, expected: Expected) -> float:
    """The largest deviation of `got` from what a mistake gives, in tolerances, over the channels that are law."""
    want = expected.values.get(name)
    if want is None or name not in mistaken_values or got.shape != want.shape or not got.size:
        return 0.0
    mistaken = mistaken_values[name]
    if mistaken.shape != want.shape:
        return np.inf
    unit = precision_of(played.dtype)
    u = unit.io if name in ("y", "dx") else unit.work
    with np.errstate(all="ignore"):
        allowed = tolerance(expected.bounds.get(name), want, mistaken, u)
        got = got.astype(want.dtype)
        error = np.abs(got - mistaken)
        # 0/0 on paper is whatever rounding makes of it; infinite on both sides is the same
        free = np.isnan(mistaken) | (~np.isfinite(mistaken) & ~np.isfinite(got)) | np.isinf(allowed)
        share = np.where(free | (error == 0), 0.0, error / allowed).astype(np.float64)
    share = np.where(law_channels(played, want), share, 0.0)
    return float(np.where(np.isnan(share), np.inf, share).max())


def tolerance(bound: np.ndarray | None, want: np.ndarray, mistaken: np.ndarray, u: float) -> np.ndarray:
    """The honest bound, times how much larger a channel's values are with the mistake, plus a few roundings.

    Where even the honest bound proves nothing (DESIGN's inconclusive), nothing is asked: infinity.
    """
    if bound is None:
        return np.zeros(want.shape)
    axes = (0, *range(2, want.ndim)) if want.ndim > 1 else ()
    size, mistaken_size = (np.abs(a).max(axis=axes, keepdims=True, initial=0.0) for a in (want, mistaken))
    growth = np.where(size > 0, np.maximum(1.0, mistaken_size / np.where(size > 0, size, 1.0)), 1.0)
    allowed = SLACK * (bound * growth + 8 * u * np.maximum(np.abs(mistaken), np.abs(want)))
    vacuous = ~conclusive(bound, want, u) & ~conclusive(allowed.astype(np.float64) / SLACK, mistaken, u)
    return np.where(vacuous, np.inf, allowed)


def law_channels(played: Played, want: np.ndarray) -> np.ndarray:
    channels = want.shape[1] if want.ndim > 1 else want.shape[0]
    law = np.array([not played.case.is_policy(c) for c in range(channels)])
    return law.reshape(1, -1, *[1] * (want.ndim - 2)) if want.ndim > 1 else law


@dataclass
class Moved:
    """Where something departs from the oracle: clearly, and possibly."""

    clearly: set[Place] = field(default_factory=set)
    possibly: set[Place] = field(default_factory=set)

    def add(self, place: Place, share: float) -> None:
        if share > 1 / CLEARLY:
            self.possibly.add(place)
        if share > CLEARLY:
            self.clearly.add(place)


def observed(played: Played) -> Moved:
    """Where the target departs from the oracle."""
    moved = Moved()
    for number, (seen, expected) in enumerate(zip(played.seen.steps, played.expected, strict=False)):
        for name, got in seen.values.items():
            moved.add((number, name), excess(played, name, got, expected.values, expected))
    return moved


def departures(layer: type[OracleLayer], played: Played, conventions: Conventions) -> Moved | None:
    """Where a mistake would depart from the oracle, among what was observed. None where it raises."""
    moved = Moved()
    for number, values in enumerate(replayed(layer, played, conventions)):
        if values is None:
            return None
        expected = played.expected[number]
        for name in played.seen.steps[number].values:
            if name in values and name in expected.values:
                moved.add((number, name), excess(played, name, values[name], expected.values, expected))
    return moved


def could_be_both(target: Moved, a: Moved | None, b: Moved | None) -> bool:
    """Whether two mistakes may together explain a case: what only one of them moves, the target must show."""
    if a is None or b is None:
        return True
    return (
        target.clearly <= a.possibly | b.possibly
        and a.clearly - b.possibly <= target.possibly
        and b.clearly - a.possibly <= target.possibly
    )
