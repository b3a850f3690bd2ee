"""A step's observables beside a mistake's, all in one go: as a rule most are within their honest bounds."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from math import prod
from weakref import WeakKeyDictionary, ref

import numpy as np

from harness.diagnose import tuning
from harness.diagnose.yardstick import Yardstick, yardstick_of
from harness.judge.expected import Expected
from harness.judge.report import PlayedCase
from harness.targets.player import StepResult

MARGIN = 1.001
"""What is near to a limit is left to the arithmetic of whole arrays, so that rounding decides nothing here."""


@dataclass(frozen=True)
class LaidOut:
    """What is expected of a step where there is a bound above 0 for each element, end to end."""

    names: tuple[str, ...]
    yardsticks: tuple[Yardstick, ...]
    shapes: tuple[tuple[int, ...], ...]
    starts: tuple[int, ...]
    """Where each observable begins."""
    bound: np.ndarray


@dataclass(frozen=True)
class EndToEnd(LaidOut):
    """What a target gave in one step, as one row."""

    got: np.ndarray

    def beside(self, mistaken: dict[str, np.ndarray]) -> SideBySide | None:
        """None where the mistake lacks one of them, or gives it another shape."""
        arrays = [mistaken[name] for name in self.names if name in mistaken]
        if not arrays or tuple(array.shape for array in arrays) != self.shapes:
            return None
        row = np.concatenate([array.ravel() for array in arrays])
        error = np.abs(self.got - row)
        return SideBySide(self, row, error, error / self.bound)


class SideBySide:
    """The same beside what a mistake gives in its place."""

    def __init__(self, target: EndToEnd, row: np.ndarray, error: np.ndarray, in_bounds: np.ndarray) -> None:
        self.target, self.row, self.error, self.in_bounds = target, row, error, in_bounds
        self.worst = int(in_bounds.argmax())
        """Which element is off by the most bounds. That of a NaN, where there is one."""
        self.greatest = float(in_bounds[self.worst])

    def by_observable(self) -> dict[str, float]:
        """The greatest error of each observable in honest bounds; NaN where one is not finite."""
        greatest = np.maximum.reduceat(self.in_bounds, self.target.starts)
        return dict(zip(self.target.names, greatest.tolist(), strict=True))

    def error_of(self, name: str) -> np.ndarray:
        """|got - mistaken| of one observable, in its shape."""
        number = self.target.names.index(name)
        start, shape = self.target.starts[number], self.target.shapes[number]
        return self.error[start : start + prod(shape)].reshape(shape)

    def is_no_rounding(self, slack: float, *, scaled: bool) -> bool:
        """Whether the worst element alone shows what `Deviation.in_tolerances` calls infinite. False where it does not,
        and where something is not finite there: that may be right.

        scaled: whether a result may also err by its own size, and a bound may prove nothing.
        """
        number = bisect_right(self.target.starts, self.worst) - 1
        yardstick, shape = self.target.yardsticks[number], self.target.shapes[number]
        start = self.target.starts[number]
        place = np.unravel_index(self.worst - start, shape)
        channel = place[min(1, len(shape) - 1)]
        if not yardstick.law.reshape(-1)[channel] or (scaled and not yardstick.proves[place]):
            return False
        mistaken = self.row[start : start + prod(shape)].reshape(shape)
        of_channel = mistaken[:, channel] if len(shape) > 1 else mistaken[channel]
        size, want_size = np.abs(of_channel).max(), yardstick.size.reshape(-1)[channel]
        error = self.error[self.worst]
        growth = max(1.0, size / want_size) if want_size > 0 else 1.0
        allowed = slack * self.target.bound[self.worst] * growth
        if scaled and yardstick.rounds_results:
            allowed = allowed + yardstick.u * np.abs(mistaken[place])
        return bool(np.inf > error > MARGIN * allowed and error > MARGIN * tuning.NOT_ROUNDING * size)


_LATEST: WeakKeyDictionary[Expected, tuple[ref[StepResult], EndToEnd]] = WeakKeyDictionary()


def end_to_end(played: PlayedCase, step: int) -> EndToEnd:
    """Made once for each step of a target: hundreds of mistakes are compared with it in a row."""
    result, expected = played.observation.steps[step], played.expected[step]
    kept = _LATEST.get(expected)
    if kept is None or kept[0]() is not result:
        kept = _LATEST[expected] = ref(result), _end_to_end(played, result, expected)
    return kept[1]


def _end_to_end(played: PlayedCase, result: StepResult, expected: Expected) -> EndToEnd:
    given = tuple(
        name
        for name, got in result.values.items()
        if (want := expected.values.get(name)) is not None and got.size and got.shape == want.shape
    )
    of_step = _LAID_OUT.setdefault(expected, {})
    if given not in of_step:
        of_step[given] = _laid_out(played, given, expected)
    laid_out = of_step[given]
    rows = [result.values[name].ravel() for name in laid_out.names]
    dtype = laid_out.yardsticks[0].want.dtype if rows else np.dtype(np.float64)
    got = np.concatenate(rows, dtype=dtype, casting="unsafe") if rows else np.zeros(0)
    return EndToEnd(**vars(laid_out), got=got)


_LAID_OUT: WeakKeyDictionary[Expected, dict[tuple[str, ...], LaidOut]] = WeakKeyDictionary()
"""Made once for what is expected of a step, by the observables that are given."""


def _laid_out(played: PlayedCase, given: tuple[str, ...], expected: Expected) -> LaidOut:
    bounded = [name for name in given if yardstick_of(played, name, expected).bounds_all]
    yardsticks = tuple(yardstick_of(played, name, expected) for name in bounded)
    bounds = [yardstick.bound.ravel() for yardstick in yardsticks if yardstick.bound is not None]
    return LaidOut(
        names=tuple(bounded),
        yardsticks=yardsticks,
        shapes=tuple(yardstick.want.shape for yardstick in yardsticks),
        starts=tuple(accumulate((bound.size for bound in bounds[:-1]), initial=0)),
        bound=np.concatenate(bounds) if bounds else np.zeros(0),
    )
