"""What a layer with a mistake does with the script of a played case, and how much of that is rounding."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import count, islice
from threading import Lock
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

import numpy as np

from harness.cases.case import Script, Setup, Step
from harness.cases.script import Directions
from harness.diagnose import tuning
from harness.diagnose.mistakes.known import KNOWN
from harness.diagnose.mistakes.known_derivatives import OF_DERIVATIVES
from harness.judge.oracle import OracleLayer, oracle_dtype
from harness.judge.report import PlayedCase
from harness.judge.session_bounds import Bounds
from harness.observables import STATISTICS
from harness.targets.player import Observation, StepResult
from reference.conventions import Conventions
from reference.error_bounds import precision_of

Values = dict[str, np.ndarray]
"""One step's arrays by observable."""


KEPT = 4096
"""How many replays are kept. One takes 20 KB as a rule, and 100 KB at most."""
KEPT_SENSITIVITIES = 2048
"""How many of those are kept."""
SMALL = 1024
"""The largest input of a script whose replays are kept."""
FIXED = frozenset(variant for known in KNOWN + OF_DERIVATIVES for variant in known.variants)
"""The layers whose replays are kept: any target may have made these mistakes. Others are made for one target."""


def replayed(layer: type[OracleLayer], played: PlayedCase, conventions: Conventions) -> Iterator[Values | None]:
    """What `layer` gives at each step that was observed; None, and no more, where it raises."""
    observed = zip(played.observation.steps, played.expected, strict=False)
    if layer is OracleLayer:  # what it gives is what was expected
        return (None if expected.raises else expected.values for _, expected in observed)
    kept = layer in FIXED and is_small(played.script)
    given = (kept_replay if kept else _played)(layer, played.script, conventions)  # type: ignore[arg-type]  # it is hashable
    return (values for _, values in zip(observed, given, strict=False))


def is_small(script: Script) -> bool:
    """Whether replays of it are kept."""
    return all(step.x is None or step.x.size <= SMALL for step in script.steps)


T = TypeVar("T")


class Replay(Generic[T]):
    """What a layer gives at each step: each is computed when it is first asked for, and kept.

    Several threads may ask: targets are checked side by side.
    """

    def __init__(self, steps: Iterator[T]) -> None:
        self._to_come = steps
        self._given: list[T] = []
        self._lock = Lock()

    def __iter__(self) -> Iterator[T]:
        for number in count():
            with self._lock:
                if number == len(self._given):
                    self._given += islice(self._to_come, 1)
            if number == len(self._given):
                return
            yield self._given[number]


@lru_cache(KEPT)
def kept_replay(layer: type[OracleLayer], script: Script, conventions: Conventions) -> Replay[Values | None]:
    return Replay(_played(layer, script, conventions))


def sensitivity(layer: type[OracleLayer], played: PlayedCase, conventions: Conventions) -> Iterable[Values]:
    """By how much the results of each step move when inputs are off by a few units in the last place.

    The moving averages are off by their own bounds, and the mean that is subtracted from x by a few units as well. Each
    result moves by as many units of itself at least: what moves it to either side may happen to cancel.
    No target has a say in it: what was found for one is kept for the next, of mistakes that others may have made.
    A step is replayed when it is asked for: as a rule the first shows that rounding is no excuse.
    """
    if layer is not OracleLayer and layer not in FIXED:
        return _sensitivity(layer, played, conventions)
    of_case = _AllSteps(played.script, id(played.expected), all_steps(played))
    return _kept_sensitivity(layer, of_case, conventions, tuning.NUDGE_ULPS, tuning.NUDGED_REPLAYS)  # type: ignore[arg-type]  # it is hashable


@dataclass(frozen=True)
class _AllSteps:
    """A case with every step of its script, whatever the target: equal where the same is expected of the same."""

    script: Script
    expected: int
    """By id."""
    played: PlayedCase = field(compare=False)


def all_steps(played: PlayedCase) -> PlayedCase:
    """The case as if every step of its script had been observed."""
    return replace(played, observation=Observation([StepResult(step.op, step.session) for step in played.script.steps]))


@lru_cache(KEPT_SENSITIVITIES)
def _kept_sensitivity(
    layer: type[OracleLayer], of_case: _AllSteps, conventions: Conventions, *_: float
) -> Replay[Values]:
    return Replay(_sensitivity(layer, of_case.played, conventions))


def _sensitivity(layer: type[OracleLayer], played: PlayedCase, conventions: Conventions) -> Iterator[Values]:
    units = tuning.NUDGE_ULPS * precision_of(played.dtype).work
    bounds = [expected.bounds for expected in played.expected]
    nudged = []
    for seed in range(tuning.NUDGED_REPLAYS):
        side, script = 1.0 if seed % 2 else -1.0, nudged_script(played, units, seed)
        off = off_centre(layer, side * units)  # type: ignore[arg-type]  # it is hashable
        nudged.append(_played(off, script, conventions, side, bounds))
    return moved_by(replayed(layer, played, conventions), nudged, units)


def moved_by(plain: Iterator[Values | None], nudged: list[Iterator[Values | None]], units: float) -> Iterator[Values]:
    """By how much the steps of nudged replays are off those of the plain one, or by `units` of each value."""
    for before in plain:
        if before is None:
            return
        with np.errstate(all="ignore"):
            moved = {name: units * np.where(np.isfinite(value), np.abs(value), 0.0) for name, value in before.items()}
            for after in [next(steps, None) for steps in nudged]:
                for name, value in (after or {}).items():
                    if name in before and before[name].shape == value.shape:
                        moved[name] = np.fmax(moved[name], np.abs(value - before[name]))
        yield moved


_NUDGED: WeakKeyDictionary[Script, dict[tuple[float, int], Script]] = WeakKeyDictionary()


def nudged_script(played: PlayedCase, units: float, seed: int) -> Script:
    """The script of a case with every input off by `units` of itself. Kept, where it is small, for other mistakes."""
    kept = _NUDGED.setdefault(played.script, {})
    if (units, seed) in kept:
        return kept[units, seed]
    script = Nudge(units, np.random.default_rng(seed), oracle_dtype(played.dtype)).of_script(played.script)
    if is_small(script):
        kept[units, seed] = script
    return script


@dataclass(frozen=True)
class Nudge:
    """Small errors put into a script; none by default."""

    units: float = 0.0
    """Relative size of the error in every input and parameter."""
    rng: np.random.Generator | None = None
    dtype: np.dtype | None = None

    def of(self, array: np.ndarray) -> np.ndarray:
        """The array with each element moved up or down by `units` of itself."""
        if self.rng is None:
            return array
        wide = array.astype(self.dtype)
        factors = 1 + self.units * np.array([-1.0, 1.0]).astype(wide.dtype)
        with np.errstate(invalid="ignore"):  # a NaN may well be among them
            return wide * factors[self.rng.integers(0, 2, array.shape)]

    def of_script(self, script: Script) -> Script:
        setups = tuple(self.of_setup(setup) for setup in script.setups)
        return Script(setups, tuple(self.of_step(step) for step in script.steps))

    def of_setup(self, setup: Setup) -> Setup:
        if self.rng is None:
            return setup
        given = {name: getattr(setup, name) for name in ("gamma", "beta", "moving_mean", "moving_var")}
        nudged: dict[str, Any] = {name: self.of(array) for name, array in given.items() if array is not None}
        return replace(setup, **nudged)

    def of_step(self, step: Step) -> Step:
        if self.rng is None or step.x is None or step.dy is None:
            return step
        directions = step.directions
        if directions is not None:
            directions = Directions(*(self.of(array) for array in (directions.x, directions.gamma, directions.beta)))
        return replace(step, x=self.of(step.x), dy=self.of(step.dy), directions=directions)


@lru_cache(KEPT_SENSITIVITIES)
def off_centre(layer: type[OracleLayer], share: float) -> type[OracleLayer]:
    """The layer with every mean off by `share` of itself when it is subtracted from x."""

    class OffCentre(layer):  # type: ignore[valid-type, misc]
        def normalize(self, x, mean, var):
            return super().normalize(x, mean * (1 + share), var)

    return OffCentre


def _played(
    layer: type[OracleLayer],
    script: Script,
    conventions: Conventions,
    averages: float = 0.0,
    bounds: Sequence[Bounds] = (),
) -> Iterator[Values | None]:
    """What `layer` gives at each step of a script, as far as that goes without an exception; then None.

    averages: by how many of their `bounds`, those of each step, the moving averages are moved after it.
    """
    with np.errstate(all="ignore"):
        sessions = [layer.from_setup(setup, conventions) for setup in script.setups]
    for number, step in enumerate(script.steps):
        session = sessions[step.session]
        try:
            with np.errstate(all="ignore"):
                values = session.play(step)
                if averages and number < len(bounds):
                    mean_bound, var_bound = (bounds[number].get(name, 0.0) for name in STATISTICS)
                    session.average_mean = session.average_mean + averages * mean_bound
                    session.average_var = session.average_var + averages * var_bound
        except (ValueError, IndexError, ZeroDivisionError):
            yield None
            return
        yield values
