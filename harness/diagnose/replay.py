"""Does a layer with a known mistake do what a target did? The oracle's own bounds decide, widened for what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from harness.cases.case import Setup
from harness.diagnose import tuning
from harness.judge.expected import Expected
from harness.judge.judge import conclusive
from harness.judge.oracle import OracleLayer, oracle_dtype
from harness.judge.report import PlayedCase
from harness.observables import OBSERVABLES
from reference.conventions import Conventions
from reference.error_bounds import precision_of

Values = dict[str, np.ndarray]
Place = tuple[int, str]  # (number of the step, observable)


def explains(layer: type[OracleLayer], played: Iterable[PlayedCase], conventions: Conventions) -> bool:
    """Whether `layer`, played through the same scripts, gives everything that was observed."""
    return all(fits(layer, one, conventions) for one in played)


def fits(
    layer: type[OracleLayer],
    played: PlayedCase,
    conventions: Conventions,
    only: tuple[str, str] | None = None,
    within: float | None = None,
) -> bool:
    """The same for one case. `only` = ("train", "y") looks at nothing else, and not at steps that raised.
    `within` so many bounds, and those of an envelope are wide, everything has to be: with no leniency where they are.

    Where the honest bound, scaled, does not cover a small deviation, the mistake's own sensitivity to rounding does.
    """
    worst = misfit(layer, played, conventions, only, None, within)
    if worst <= 1 or worst == np.inf or within:
        return worst <= 1
    return misfit(layer, played, conventions, only, sensitivity(layer, played, conventions), within) <= 1


def misfit(
    layer: type[OracleLayer],
    played: PlayedCase,
    conventions: Conventions,
    only: tuple[str, str] | None,
    extra: list[Values] | None,
    within: float | None,
) -> float:
    """The largest deviation of what was seen from what `layer` gives, in tolerances; infinite if one raises alone."""
    worst = 0.0
    for number, values in enumerate(replayed(layer, played, conventions)):
        seen, expected = played.observation.steps[number], played.expected[number]
        if seen.unsupported or (only and seen.error is not None):
            return worst
        if (values is None) != (seen.error is not None):
            return np.inf
        if values is None:
            return worst
        if only and only[0] != seen.op:
            continue
        more = extra[number] if extra and number < len(extra) else {}
        for name in seen.values:
            if not only or name == only[1]:
                got, moved = seen.values[name], more.get(name)
                worst = max(worst, excess(played, name, got, values, expected, moved, within))
        if worst == np.inf:
            return worst
    return worst


def replayed(layer: type[OracleLayer], played: PlayedCase, conventions: Conventions) -> Iterator[Values | None]:
    """What `layer` gives at each step that was observed; None, and no more, where it raises."""
    return _replayed(layer, played, conventions, played.script.setups, lambda array: array, 0.0)


def sensitivity(layer: type[OracleLayer], played: PlayedCase, conventions: Conventions) -> list[Values]:
    """By how much the results move once inputs are off by a few units in the last place, averages by their bounds."""
    u = precision_of(played.dtype).work
    plain = [values for values in replayed(layer, played, conventions) if values is not None]
    moved: list[Values] = [{} for _ in plain]
    for seed in range(tuning.NUDGED_REPLAYS):
        rng = np.random.default_rng(seed)

        def wobble(array: np.ndarray, rng: np.random.Generator = rng) -> np.ndarray:
            wide = array.astype(oracle_dtype(played.dtype))
            with np.errstate(invalid="ignore"):  # a NaN may well be among them
                return wide * (1 + tuning.NUDGE_ULPS * u * rng.choice([-1.0, 1.0], array.shape).astype(wide.dtype))

        setups = tuple(
            replace(
                one,
                gamma=wobble(one.gamma),
                beta=wobble(one.beta),
                moving_mean=wobble(one.moving_mean),
                moving_var=wobble(one.moving_var),
            )
            for one in played.script.setups
        )
        nudge = 1.0 if seed % 2 else -1.0
        replay = _replayed(off_centre(layer, nudge * tuning.NUDGE_ULPS * u), played, conventions, setups, wobble, nudge)
        for kept, before, after in zip(moved, plain, replay, strict=False):
            for name, value in (after or {}).items():
                if name in before and before[name].shape == value.shape:
                    with np.errstate(all="ignore"):
                        kept[name] = np.fmax(kept.get(name, 0.0), np.abs(value - before[name]))
    return moved


def off_centre(layer: type[OracleLayer], by: float) -> type[OracleLayer]:
    """The layer with every mean wrong by this share of itself when x is centred."""

    class OffCentre(layer):  # type: ignore[valid-type, misc]
        def normalize(self, x, mean, var):
            return super().normalize(x, mean * (1 + by), var)

    return OffCentre


def _replayed(
    layer: type[OracleLayer],
    played: PlayedCase,
    conventions: Conventions,
    setups: tuple[Setup, ...],
    changed: Callable[[np.ndarray], np.ndarray],
    nudge: float,
) -> Iterator[Values | None]:
    """`nudge`: by how many of their bounds the averages are moved after each step."""
    with np.errstate(all="ignore"):
        sessions = [layer.from_setup(setup, conventions) for setup in setups]
    for _, step, expected in zip(played.observation.steps, played.script.steps, played.expected, strict=False):
        if step.x is not None and step.dy is not None:
            step = replace(step, x=changed(step.x), dy=changed(step.dy))
        session = sessions[step.session]
        try:
            with np.errstate(all="ignore"):
                values = session.play(step)
                if nudge:
                    session.average_mean = session.average_mean + nudge * expected.bounds.get("moving_mean", 0.0)
                    session.average_var = session.average_var + nudge * expected.bounds.get("moving_var", 0.0)
        except (ValueError, IndexError, ZeroDivisionError):
            yield None
            return
        yield values


def excess(
    played: PlayedCase,
    name: str,
    got: np.ndarray,
    mistaken_values: Values,
    expected: Expected,
    extra: np.ndarray | None = None,
    within: float | None = None,
) -> float:
    """The largest deviation of `got` from what a mistake gives, in tolerances, over the channels that are law.

    Infinite where it is of the size of the values themselves: that is no matter of rounding.
    """
    want = expected.values.get(name)
    if want is None or name not in mistaken_values or got.shape != want.shape or not got.size:
        return 0.0
    mistaken = mistaken_values[name]
    if mistaken.shape != want.shape:
        return np.inf
    if got is mistaken or (got.dtype == mistaken.dtype and np.array_equal(got, mistaken)):
        return 0.0
    unit = precision_of(played.dtype)
    u = OBSERVABLES[name].unit_roundoff(unit)
    with np.errstate(all="ignore"):
        bound = bound_of(name, expected)
        if bound is not None and bound.all():  # the quick way: within the honest bound there is no more to ask
            ratio = float((np.abs(got.astype(want.dtype) - mistaken) / bound).max())
            ratio = ratio / (within or tuning.SLACK)
            if ratio <= 1:
                return ratio
        allowed = tolerance(bound, want, mistaken, u, within)
        if extra is not None:
            allowed = allowed + tuning.SLACK * extra
        got = got.astype(want.dtype)
        error = np.abs(got - mistaken)
        # 0/0 on paper is whatever rounding makes of it; infinite on both sides is the same
        free = np.isnan(mistaken) | (~np.isfinite(mistaken) & ~np.isfinite(got)) | np.isinf(allowed)
        share = np.where(free | (error == 0), 0.0, error / allowed).astype(np.float64)
        share = np.where((share > 1) & (error > tuning.NOT_ROUNDING * largest(mistaken)), np.inf, share)
    share = np.where(law_channels(played, want), share, 0.0)
    return float(np.where(np.isnan(share), np.inf, share).max())


def bound_of(name: str, expected: Expected) -> np.ndarray | None:
    """The honest bound; for dgamma and dbeta the larger of the two, since a mistake may exchange them."""
    bound = expected.bounds.get(name)
    if name in ("dgamma", "dbeta") and bound is not None:
        bound = np.fmax(bound, expected.bounds.get("dbeta" if name == "dgamma" else "dgamma", bound))
    return bound


def tolerance(
    bound: np.ndarray | None, want: np.ndarray, mistaken: np.ndarray, u: float, within: float | None = None
) -> np.ndarray:
    """The honest bound, times how much larger a channel's values are with the mistake, plus a few roundings.

    Where even the honest bound proves nothing (DESIGN's inconclusive), nothing is asked unless `within` is given.
    """
    if bound is None:
        return np.zeros(want.shape)
    size, mistaken_size = largest(want), largest(mistaken)
    growth = np.where(size > 0, np.maximum(1.0, mistaken_size / np.where(size > 0, size, 1.0)), 1.0)
    magnitude = np.maximum(np.where(np.isfinite(mistaken), np.abs(mistaken), 0.0), np.abs(want))
    allowed = (within or tuning.SLACK) * (bound * growth + tuning.ROUNDINGS * u * magnitude)
    if within:
        return allowed
    vacuous = ~conclusive(bound, want, u) & ~conclusive(allowed.astype(np.float64) / tuning.SLACK, mistaken, u)
    return np.where(vacuous, np.inf, allowed)


def largest(values: np.ndarray) -> np.ndarray:
    """The largest finite magnitude of each channel."""
    axes = (0, *range(2, values.ndim)) if values.ndim > 1 else ()
    return np.where(np.isfinite(values), np.abs(values), 0.0).max(axis=axes, keepdims=True, initial=0.0)


def law_channels(played: PlayedCase, want: np.ndarray) -> np.ndarray:
    channels = want.shape[1] if want.ndim > 1 else want.shape[0]
    law = np.array([not played.case.is_policy(c) for c in range(channels)])
    return law.reshape(1, -1, *[1] * (want.ndim - 2)) if want.ndim > 1 else law


@dataclass
class Moved:
    """Where something departs from the oracle, clearly or possibly; and where the target shows the same number."""

    clearly: set[Place] = field(default_factory=set)
    possibly: set[Place] = field(default_factory=set)
    matched: set[Place] = field(default_factory=set)

    def add(self, place: Place, share: float) -> None:
        if share > 1 / tuning.CLEAR_FACTOR:
            self.possibly.add(place)
        if share > tuning.CLEAR_FACTOR:
            self.clearly.add(place)


def observed(played: PlayedCase) -> Moved:
    """Where the target departs from the oracle."""
    moved = Moved()
    for number, (seen, expected) in enumerate(zip(played.observation.steps, played.expected, strict=False)):
        for name, got in seen.values.items():
            moved.add((number, name), excess(played, name, got, expected.values, expected))
    return moved


def departures(layer: type[OracleLayer], played: PlayedCase, conventions: Conventions) -> Moved | None:
    """Where a mistake would depart from the oracle, among what was observed. None where it raises."""
    moved = Moved()
    for number, values in enumerate(replayed(layer, played, conventions)):
        if values is None:
            return None
        expected = played.expected[number]
        for name, got in played.observation.steps[number].values.items():
            if name in values and name in expected.values:
                moved.add((number, name), excess(played, name, values[name], expected.values, expected))
                if (number, name) in moved.clearly and excess(
                    played, name, got, values, expected
                ) <= tuning.CLEAR_FACTOR:
                    moved.matched.add((number, name))
    return moved


def could_be_both(target: Moved, a: Moved | None, b: Moved | None) -> bool:
    """Whether two mistakes may together explain a case: what only one of them moves, the target must show.

    The target did not raise: a mistake that does has no part in it.
    """
    if a is None or b is None:
        return False
    return (
        target.clearly <= a.possibly | b.possibly
        and a.clearly - b.possibly <= target.possibly
        and b.clearly - a.possibly <= target.possibly
    )


def do_not_meet(a: Moved | None, b: Moved | None) -> bool:
    """Whether what only one of two mistakes moves is as that one alone would have it."""
    if a is None or b is None:
        return False
    return a.clearly - b.possibly <= a.matched and b.clearly - a.possibly <= b.matched
