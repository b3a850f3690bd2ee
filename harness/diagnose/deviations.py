"""What was observed beside what was expected, over many cases: how large the deviations are, and if by one factor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from harness.diagnose import tuning
from harness.diagnose.fitted import roundings
from harness.diagnose.yardstick import law_channels
from harness.judge.report import PlayedCase
from harness.observables import column

DIGITS = (1, 2, 3, 4, 6, 9)
"""To how many digits a factor is rounded, the roundest first."""
ENOUGH = 8
"""Fewer deviating values than this show no constant factor."""


@dataclass(frozen=True)
class Deviation:
    """The law elements of one observable in one step that are finite on both sides: arrays of shape (k,)."""

    played: PlayedCase
    step: int
    column: str
    """The observable as tables head it: "y" in training, "eval y" in prediction."""
    got: np.ndarray
    want: np.ndarray
    bound: np.ndarray
    channel: np.ndarray
    """Of each element."""

    @cached_property
    def beyond(self) -> np.ndarray:
        """Which elements are further off than their bounds."""
        with np.errstate(all="ignore"):
            return np.asarray(np.abs(self.got - self.want) > self.bound)

    @property
    def relative(self) -> float:
        """The largest error, relative to the largest value that is expected."""
        if not self.got.size:
            return 0.0
        size = float(np.abs(self.want).max())
        return float(np.abs(self.got - self.want).max()) / (size or 1.0)


def deviations(cases: Iterable[PlayedCase]) -> Iterator[Deviation]:
    """One for each observable of each step that was given in the right shape."""
    for played in cases:
        for number, (result, expected) in enumerate(zip(played.observation.steps, played.expected, strict=False)):
            for name, got in result.values.items():
                want, bound = expected.values.get(name), expected.bounds.get(name)
                if want is None or bound is None or got.shape != want.shape:
                    continue
                wide, exact, limit = (array.astype(np.float64) for array in (got.astype(want.dtype), want, bound))
                if played.dtype == "float64":  # the oracle has more digits than float64: keep the error, not them
                    with np.errstate(all="ignore"):
                        wide = exact + (got.astype(want.dtype) - want).astype(np.float64)
                usable = np.isfinite(wide) & np.isfinite(exact) & np.isfinite(limit)
                usable &= np.broadcast_to(law_channels(played, want), want.shape)
                channel = channels_of(want)
                of_each = (array[usable] for array in (wide, exact, limit, channel))
                yield Deviation(played, number, column(name, result.op), *of_each)


def channels_of(values: np.ndarray) -> np.ndarray:
    """The channel of each element, in the shape of `values`: the second axis, or that of a vector."""
    shape = [1] * values.ndim
    shape[min(values.ndim - 1, 1)] = -1
    count = values.shape[min(values.ndim - 1, 1)]
    return np.broadcast_to(np.arange(count).reshape(shape), values.shape)


def wrong_columns(found: Iterable[Deviation]) -> dict[str, list[Deviation]]:
    """By column those that are beyond their bounds somewhere."""
    by_column: dict[str, list[Deviation]] = {}
    for deviation in found:
        if deviation.beyond.any():
            by_column.setdefault(deviation.column, []).append(deviation)
    return by_column


def slope(got: np.ndarray, want: np.ndarray) -> float | None:
    """The number that `want` is multiplied by in `got`, by least squares. None where that is no finite number."""
    with np.errstate(all="ignore"):
        factor = float((got * want).sum() / (want * want).sum())
    return factor if np.isfinite(factor) else None


def constant_factor(of_column: list[Deviation], enough: int = ENOUGH) -> float | None:
    """The one number by which all that deviates was multiplied. None where there is none, or too little to tell.

    By least squares, each element weighed by its bound; as round a number as fits every element.
    """
    beyond = [(d.got[d.beyond], d.want[d.beyond], d.bound[d.beyond]) for d in of_column]
    if not beyond:
        return None
    got, want, bound = (np.concatenate(arrays) for arrays in zip(*beyond, strict=True))
    usable = (bound > 0) & (want != 0)
    if len(got) < enough or usable.sum() < enough:
        return None
    with np.errstate(all="ignore"):
        factor = slope(got[usable] / bound[usable], want[usable] / bound[usable])
    if factor is None:  # bounds so small that the weights overflow
        return None
    for rounded in roundings(factor, DIGITS):
        tolerance = tuning.SLACK * bound * max(1.0, abs(rounded))
        if (np.abs(got - rounded * want) <= tolerance).all():
            return rounded if rounded != 1 else None  # so little is off that a factor of 1 would do
    return None
