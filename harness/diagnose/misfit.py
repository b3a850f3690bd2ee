"""Does a layer with a known mistake do what a target did? The oracle's own bounds decide, widened for the mistake."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import ml_dtypes
import numpy as np

from harness.cases.case import Step
from harness.diagnose import tuning
from harness.diagnose.replay import Values, replayed, sensitivity
from harness.diagnose.side_by_side import end_to_end
from harness.diagnose.yardstick import largest, yardstick_of
from harness.judge.expected import Expected
from harness.judge.oracle import OracleLayer
from harness.judge.report import PlayedCase
from reference.conventions import Conventions

quietly = np.errstate(all="ignore")
"""For functions that compare many arrays: NumPy is told once not to mind what is not finite."""


def fits(
    layer: type[OracleLayer],
    played: PlayedCase,
    conventions: Conventions,
    only: tuple[str, str] | None = None,
    within: float | None = None,
) -> bool:
    """Whether `layer`, played through the same script, gives everything that was observed.

    only: (op, observable), such as ("train", "y"): nothing else is compared, and no step that raised.
    within: a number of bounds that holds everywhere, also where a bound proves nothing. Envelopes, whose bounds are
    wide, ask for it.

    Where the honest bound, scaled, does not cover a small deviation, the mistake's own sensitivity to rounding may.
    """
    worst = misfit(layer, played, conventions, only, within)
    return worst <= 1 or (worst < np.inf and not within and is_as_sensitive(layer, played, conventions, only))


def is_as_sensitive(
    layer: type[OracleLayer], played: PlayedCase, conventions: Conventions, only: tuple[str, str] | None = None
) -> bool:
    """Whether a layer gives what was observed but for what its sensitivity to rounding covers."""
    return misfit(layer, played, conventions, only, extra=sensitivity(layer, played, conventions)) <= 1


@quietly
def misfit(
    layer: type[OracleLayer],
    played: PlayedCase,
    conventions: Conventions,
    only: tuple[str, str] | None = None,
    within: float | None = None,
    extra: Iterable[Values] | None = None,
) -> float:
    """The largest deviation of what was observed from what `layer` gives, in tolerances.

    Infinite where the target raises and `layer` does not, or the other way round.

    extra: by how much more each step's results may be off; then no step is looked at after one that is off by more.
    """
    worst, slack, extras = 0.0, within or tuning.SLACK, iter(extra or ())
    for number, values in enumerate(replayed(layer, played, conventions)):
        result = played.observation.steps[number]
        if result.unsupported is not None or (only and result.error is not None):
            return worst
        if (values is None) != (result.error is not None):
            return np.inf
        if values is None:
            return worst
        more = next(extras, {})
        if only and only[0] != result.op:
            continue
        beside = end_to_end(played, number).beside(values) if only is None else None
        in_bounds: dict[str, float] = {}
        if beside is not None:
            if beside.greatest > slack and not more and beside.is_no_rounding(slack, scaled=not within):
                return np.inf
            all_are = beside.greatest <= slack  # within it: then which is how far off tells nothing more
            in_bounds = dict.fromkeys(beside.target.names, beside.greatest) if all_are else beside.by_observable()
        for name, got in result.values.items():
            if in_bounds.get(name, np.inf) <= slack:
                worst = max(worst, in_bounds[name] / slack)
            elif (not only or name == only[1]) and name in values:
                deviation = Misfit(played, number, name, got, values[name])
                error = beside.error_of(name) if beside is not None and name in in_bounds else None
                worst = max(worst, deviation.in_tolerances(within, more.get(name), error))
                if worst == np.inf or (more and worst > 1):
                    return worst
    return worst


@dataclass
class Misfit:
    """An observed array of one step beside what a mistake gives in its place."""

    played: PlayedCase
    step: int
    name: str
    got: np.ndarray
    mistaken: np.ndarray

    @property
    def expected(self) -> Expected:
        return self.played.expected[self.step]

    def in_tolerances(
        self, within: float | None = None, extra: np.ndarray | None = None, error: np.ndarray | None = None
    ) -> float:
        """The largest |got - mistaken| over the channels that are law, in tolerances.

        Infinite where it is of the size of the values themselves: that is no matter of rounding. To be asked by what
        is done `quietly`.

        error: |got - mistaken|, where that is known, and known to be beyond the honest bound somewhere.
        """
        want, got, mistaken = self.expected.values.get(self.name), self.got, self.mistaken
        if want is None or got.shape != want.shape or not got.size:
            return 0.0
        if mistaken.shape != want.shape:
            return np.inf
        if got is mistaken:
            return 0.0
        yardstick = yardstick_of(self.played, self.name, self.expected)
        if error is None:
            if got.dtype == mistaken.dtype and np.array_equal(got, mistaken):
                return 0.0
            slack = within or tuning.SLACK
            error = np.abs(got.astype(want.dtype) - mistaken)
            if yardstick.bounds_all:  # the quick way: within the honest bound there is no more to ask
                in_bounds = float(np.maximum.reduce(error / yardstick.bound, axis=None))
                if in_bounds <= slack:
                    return in_bounds / slack
        size = largest(mistaken)
        allowed = yardstick.tolerance(mistaken, size, within)
        if extra is not None:
            allowed = allowed + tuning.SLACK * extra
        fits_type = np.maximum.reduce(size, axis=None) <= largest_finite(got.dtype)
        ratio = (error / allowed).astype(np.float64, copy=False)
        if not fits_type or not np.maximum.reduce(ratio, axis=None) < np.inf:  # false for NaN
            free = np.isinf(allowed) | (error == 0)
            if not fits_type or not np.isfinite(mistaken).all():
                free |= self.same_or_open()
            ratio = np.where(free, 0.0, ratio)
            ratio[np.isnan(ratio)] = np.inf
        if not yardstick.all_law:
            ratio[~np.broadcast_to(yardstick.law, ratio.shape)] = 0.0
        worst = float(np.maximum.reduce(ratio, axis=None))
        return np.inf if worst > 1 and ((ratio > 1) & (error > tuning.NOT_ROUNDING * size)).any() else worst

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
