"""A step's observables beside a mistake's, all in one go: as a rule most are within their honest bounds."""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary, ref

import numpy as np

from harness.diagnose.yardstick import yardstick_of
from harness.judge.expected import Expected
from harness.judge.report import PlayedCase
from harness.targets.player import StepResult


@dataclass(frozen=True)
class EndToEnd:
    """What a target gave in one step where there is a bound above 0 for each element, as one row."""

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    starts: tuple[int, ...]
    """Where each observable begins."""
    got: np.ndarray
    bound: np.ndarray

    def in_bounds(self, mistaken: dict[str, np.ndarray]) -> dict[str, float]:
        """The greatest |got - mistaken| of each observable in honest bounds; NaN where one is not finite.

        Empty where the mistake lacks one of them, or gives it another shape.
        """
        arrays = [mistaken[name] for name in self.names if name in mistaken]
        if not arrays or tuple(array.shape for array in arrays) != self.shapes:
            return {}
        row = np.concatenate([array.ravel() for array in arrays])
        greatest = np.maximum.reduceat(np.abs(self.got - row) / self.bound, self.starts)
        return dict(zip(self.names, greatest.tolist(), strict=True))


_LATEST: WeakKeyDictionary[Expected, tuple[ref[StepResult], EndToEnd]] = WeakKeyDictionary()


def end_to_end(played: PlayedCase, step: int) -> EndToEnd:
    """Made once for each step of a target: hundreds of mistakes are compared with it in a row."""
    result, expected = played.observation.steps[step], played.expected[step]
    kept = _LATEST.get(expected)
    if kept is None or kept[0]() is not result:
        kept = _LATEST[expected] = ref(result), _end_to_end(played, result, expected)
    return kept[1]


def _end_to_end(played: PlayedCase, result: StepResult, expected: Expected) -> EndToEnd:
    names, rows, bounds = [], [], []
    for name, got in result.values.items():
        want = expected.values.get(name)
        if want is not None and got.size and got.shape == want.shape:
            yardstick = yardstick_of(played, name, expected)
            if yardstick.bounds_all and yardstick.bound is not None:
                names.append(name)
                rows.append(got.astype(want.dtype).ravel())
                bounds.append(yardstick.bound.ravel())
    return EndToEnd(
        tuple(names),
        tuple(result.values[name].shape for name in names),
        tuple(np.cumsum([0, *(len(row) for row in rows[:-1])]).tolist()),
        np.concatenate(rows) if rows else np.zeros(0),
        np.concatenate(bounds) if rows else np.zeros(0),
    )
