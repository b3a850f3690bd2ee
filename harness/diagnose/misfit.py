"""Does a layer with a known mistake do what a target did? The oracle's own bounds decide, widened for the mistake."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from weakref import WeakKeyDictionary

import ml_dtypes
import numpy as np

from harness.cases.case import Step
from harness.diagnose import tuning
from harness.diagnose.replay import Values, replayed, sensitivity
from harness.judge.expected import Expected
from harness.judge.judge import conclusive
from harness.judge.oracle import OracleLayer
from harness.judge.report import PlayedCase
from harness.observables import OBSERVABLES
from reference.conventions import Conventions
from reference.error_bounds import precision_of

quietly = np.errstate(all="ignore")
"""For functions that compare many arrays: NumPy is told once not to mind what is not finite."""


def explains(layer: type[OracleLayer], played: Iterable[PlayedCase], conventions: Conventions) -> bool:
    """Whether `layer`, played through the same scripts, gives everything that was observed."""
    return all(fits(layer, case, conventions) for case in played)


def fits(
    layer: type[OracleLayer],
    played: PlayedCase,
    conventions: Conventions,
    only: tuple[str, str] | None = None,
    within: float | None = None,
) -> bool:
    """The same for one case.

    only: (op, observable), such as ("train", "y"): nothing else is compared, and no step that raised.
    within: a number of bounds that holds everywhere, also where a bound proves nothing. Envelopes, whose bounds are
    wide, ask for it.

    Where the honest bound, scaled, does not cover a small deviation, the mistake's own sensitivity to rounding may.
    """
    worst = misfit(layer, played, conventions, only, within)
    if worst <= 1 or worst == np.inf or within:
        return worst <= 1
    return misfit(layer, played, conventions, only, within, sensitivity(layer, played, conventions)) <= 1


@quietly
def misfit(
    layer: type[OracleLayer],
    played: PlayedCase,
    conventions: Conventions,
    only: tuple[str, str] | None = None,
    within: float | None = None,
    extra: list[Values] | None = None,
) -> float:
    """The largest deviation of what was observed from what `layer` gives, in tolerances.

    Infinite where the target raises and `layer` does not, or the other way round.

    extra: by how much more each step's results may be off.
    """
    worst = 0.0
    for number, values in enumerate(replayed(layer, played, conventions)):
        result = played.observation.steps[number]
        if result.unsupported is not None or (only and result.error is not None):
            return worst
        if (values is None) != (result.error is not None):
            return np.inf
        if values is None:
            return worst
        if only and only[0] != result.op:
            continue
        more = extra[number] if extra and number < len(extra) else {}
        for name, got in result.values.items():
            if (not only or name == only[1]) and name in values:
                deviation = Deviation(played, number, name, got, values[name])
                worst = max(worst, deviation.in_tolerances(within, more.get(name)))
                if worst == np.inf:
                    return worst
    return worst


@dataclass(frozen=True)
class Deviation:
    """An observed array of one step beside what a mistake gives in its place."""

    played: PlayedCase
    step: int
    name: str
    got: np.ndarray
    mistaken: np.ndarray

    @property
    def expected(self) -> Expected:
        return self.played.expected[self.step]

    def in_tolerances(self, within: float | None = None, extra: np.ndarray | None = None) -> float:
        """The largest |got - mistaken| over the channels that are law, in tolerances.

        Infinite where it is of the size of the values themselves: that is no matter of rounding. To be asked by what
        is done `quietly`.
        """
        want, got, mistaken = self.expected.values.get(self.name), self.got, self.mistaken
        if want is None or got.shape != want.shape or not got.size:
            return 0.0
        if mistaken.shape != want.shape:
            return np.inf
        if got is mistaken or (got.dtype == mistaken.dtype and np.array_equal(got, mistaken)):
            return 0.0
        slack = within or tuning.SLACK
        yardstick = yardstick_of(self.played, self.name, self.expected)
        error = np.abs(got.astype(want.dtype) - mistaken)
        if yardstick.bounds_all:  # the quick way: within the honest bound there is no more to ask
            in_bounds = float(np.maximum.reduce(error / yardstick.bound, axis=None))
            if in_bounds <= slack:
                return in_bounds / slack
        size = largest(mistaken)
        allowed = yardstick.tolerance(mistaken, size, within)
        if extra is not None:
            allowed = allowed + tuning.SLACK * extra
        free = np.isinf(allowed) | (error == 0)
        if not np.maximum.reduce(size, axis=None) <= largest_finite(got.dtype) or not np.isfinite(mistaken).all():
            free |= self.same_or_open()
        ratio = np.where(free, 0.0, error / allowed).astype(np.float64, copy=False)
        ratio[(ratio > 1) & (error > tuning.NOT_ROUNDING * size)] = np.inf
        ratio[np.isnan(ratio)] = np.inf
        if not yardstick.all_law:
            ratio[~np.broadcast_to(yardstick.law, ratio.shape)] = 0.0
        return float(np.maximum.reduce(ratio, axis=None))

    def same_or_open(self) -> np.ndarray:
        """Where what is not finite is no deviation: on both sides; or a 0/0 of a constant channel.

        What exceeds the type of the result is not finite there. The variance of a channel that holds one number is 0
        on paper, and what rounding makes of it in practice. Any other NaN of a replay explains no number.
        """
        lost = ~np.isfinite(self.mistaken) | (np.abs(self.mistaken) > largest_finite(self.got.dtype))
        same = lost & ~np.isfinite(self.got.astype(self.mistaken.dtype))
        if not lost.any():
            return same
        return same | (np.isnan(self.mistaken) & constant_channels(self.played.script.steps[self.step], self.mistaken))


@cache
def largest_finite(dtype: np.dtype) -> float:
    """The largest number of a floating-point type, those of ml_dtypes included; infinity for any other type."""
    try:
        return float(ml_dtypes.finfo(dtype).max)
    except ValueError:
        return np.inf


def constant_channels(step: Step, like: np.ndarray) -> np.ndarray:
    """Booleans that broadcast against `like`, an array of the step: in which channels x holds one number."""
    channels = like.shape[1] if like.ndim > 1 else like.shape[0]
    if step.x is None or not step.x.size or step.x.shape[1] != channels:
        return np.zeros(like.shape, bool)
    rows = np.moveaxis(step.x, 1, 0).reshape(channels, -1)
    constant: np.ndarray = (rows == rows[:, :1]).all(axis=1)
    return constant.reshape(1, -1, *[1] * (like.ndim - 2)) if like.ndim > 1 else constant


@dataclass(frozen=True)
class Yardstick:
    """What every mistake is measured by in one observable of one step."""

    want: np.ndarray
    bound: np.ndarray | None
    """The honest bound, of want's shape."""
    bounds_all: bool
    """Whether there is a bound, and it is positive everywhere."""
    size: np.ndarray
    """`largest` of want."""
    safe_size: np.ndarray
    """The same, to divide by: 1 where it is 0."""
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
        growth = np.where(self.size > 0, np.maximum(1.0, mistaken_size / self.safe_size), 1.0)
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
            safe_size=np.where(size > 0, size, 1.0),
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
    axes = (0, *range(2, values.ndim)) if values.ndim > 1 else ()
    return np.where(np.isfinite(values), np.abs(values), 0.0).max(axis=axes, keepdims=True, initial=0.0)


def law_channels(played: PlayedCase, want: np.ndarray) -> np.ndarray:
    """Booleans that broadcast against `want`: in which channels the case is law."""
    channels = want.shape[1] if want.ndim > 1 else want.shape[0]
    law = np.array([not played.case.is_policy(channel, played.dtype) for channel in range(channels)])
    return law.reshape(1, -1, *[1] * (want.ndim - 2)) if want.ndim > 1 else law
