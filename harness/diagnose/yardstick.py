"""What every mistake is measured by in one observable of one step: the honest bound, scaled to the mistaken values."""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from harness.diagnose import tuning
from harness.judge.expected import Expected
from harness.judge.judge import conclusive
from harness.judge.report import PlayedCase
from harness.observables import OBSERVABLES
from reference.error_bounds import precision_of


@dataclass(frozen=True)
class Yardstick:
    """Made once for what is expected of a step: hundreds of mistakes are measured by it."""

    want: np.ndarray
    bound: np.ndarray | None
    """The honest bound, of want's shape."""
    bounds_all: bool
    """Whether there is a bound, and it is positive everywhere."""
    size: np.ndarray
    """`largest` of want."""
    safe_size: np.ndarray
    """The same, to divide by: infinite where it is 0."""
    proves: np.ndarray
    """Where the bound is narrow enough to prove something."""
    proves_all: bool
    law: np.ndarray
    """In which channels the case is law, in a shape that broadcasts against `want`."""
    all_law: bool
    u: float
    rounds_results: bool
    """Whether results are rounded to fewer bits than they are computed in: a mistaken result then errs by its own size,
    however small the right one is."""

    def tolerance(self, mistaken: np.ndarray, mistaken_size: np.ndarray, within: float | None) -> np.ndarray:
        """The honest bound, times how much larger a channel's values are with the mistake.

        Infinite where even the honest bound proves nothing, unless `within` is given. All arrays have want's shape.
        """
        if self.bound is None:
            return np.zeros(self.want.shape)
        growth = np.maximum(1.0, mistaken_size / self.safe_size)
        if within:
            return within * self.bound * growth
        allowed = tuning.SLACK * self.bound * growth
        if self.rounds_results:
            allowed = allowed + self.u * np.abs(mistaken)
        if self.proves_all:
            return allowed
        vacuous = ~self.proves & ~conclusive(allowed.astype(np.float64) / tuning.SLACK, mistaken, self.u)
        return np.where(vacuous, np.inf, allowed)


_YARDSTICKS: WeakKeyDictionary[Expected, dict[str, Yardstick]] = WeakKeyDictionary()


def yardstick_of(played: PlayedCase, name: str, expected: Expected) -> Yardstick:
    """Made once for what is expected of a step: hundreds of mistakes are measured by it."""
    of_step = _YARDSTICKS.setdefault(expected, {})
    if name not in of_step:
        want, bound = expected.values[name], bound_of(name, expected)
        precision = precision_of(played.dtype)
        u = OBSERVABLES[name].unit_roundoff(precision)
        size, law = largest(want), law_channels(played, want)
        proves = np.ones(want.shape, bool) if bound is None else conclusive(bound, want, u)
        of_step[name] = Yardstick(
            want=want,
            bound=bound,
            bounds_all=bound is not None and bool(bound.all()),
            size=size,
            safe_size=np.where(size > 0, size, np.inf),
            proves=proves,
            proves_all=bool(proves.all()),
            law=law,
            all_law=bool(law.all()),
            u=u,
            rounds_results=u > precision.work,
        )
    return of_step[name]


def bound_of(name: str, expected: Expected) -> np.ndarray | None:
    """The honest bound; for dgamma and dbeta the larger of the two, since a mistake may exchange them."""
    bound = expected.bounds.get(name)
    if name in ("dgamma", "dbeta") and bound is not None:
        bound = np.fmax(bound, expected.bounds.get("dbeta" if name == "dgamma" else "dgamma", bound))
    return bound


def largest(values: np.ndarray) -> np.ndarray:
    """The largest finite magnitude of each channel, in a shape that broadcasts against `values`."""
    magnitudes = np.abs(values)
    if not np.maximum.reduce(magnitudes, axis=None, initial=0.0) < np.inf:  # false for NaN
        magnitudes = np.where(np.isfinite(values), magnitudes, 0.0)
    if values.ndim == 1:
        return magnitudes
    axes = (0, *range(2, values.ndim))
    largest_of_each: np.ndarray = np.maximum.reduce(magnitudes, axis=axes, keepdims=True, initial=0.0)
    return largest_of_each


def law_channels(played: PlayedCase, want: np.ndarray) -> np.ndarray:
    """Booleans that broadcast against `want`: in which channels the case is law."""
    channels = want.shape[1] if want.ndim > 1 else want.shape[0]
    law = np.array([not played.case.is_policy(channel, played.dtype) for channel in range(channels)])
    return law.reshape(1, -1, *[1] * (want.ndim - 2)) if want.ndim > 1 else law
