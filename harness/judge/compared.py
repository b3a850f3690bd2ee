"""What a target gave in one observable of one step, measured by the oracle's values and bounds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np

from harness.judge.judgement import Kind


@dataclass(frozen=True)
class Standard:
    """What any target is held to in one observable of one step. All arrays have want's shape."""

    want: np.ndarray
    bound: np.ndarray
    finite: np.ndarray
    """Where both are finite."""
    proves: np.ndarray
    """Where the bound is narrow enough to prove something."""
    masks: dict[Kind, np.ndarray]
    """Which elements are compared as law, and which as policy; without a kind of which there are none."""
    is_plain: bool
    """Whether every element is finite, has a bound above 0 that proves something, and is of one kind: as a rule."""


@dataclass
class Compared:
    """What a target gave beside the standard, in C order."""

    error: np.ndarray
    """|got - want|"""
    ratio: np.ndarray
    """error/bound"""
    worst: int
    """Where the ratio is greatest among the elements that decide: the place in C order."""
    largest_error: float
    """Among the elements that decide."""
    considered: np.ndarray | None = None
    """The elements that decide; None: all."""
    proves: bool = True
    breaks: bool = False
    """Whether a finite number is expected somewhere and none came."""
    inconclusive_channels: int = 0


class InARow:
    """The plain standards of one step as one row, so that its small arrays are compared in a few operations."""

    def __init__(self, standards: Sequence[Standard]) -> None:
        self.want = np.concatenate([standard.want.ravel() for standard in standards])
        self.bound = np.concatenate([standard.bound.ravel() for standard in standards])
        ends = [0, *accumulate(standard.want.size for standard in standards)]
        self.starts = ends[:-1]
        self.slices = [slice(start, end) for start, end in pairwise(ends)]

    def compare(self, got: Sequence[np.ndarray]) -> Iterator[Compared | None]:
        """An array for each standard, of its shape: the very numbers of `compare`. None where something is not finite.

        To be called where NumPy is told not to mind that.
        """
        row = np.concatenate([array.ravel() for array in got], dtype=self.want.dtype, casting="unsafe")
        error = np.abs(row - self.want).astype(np.float64, copy=False)
        ratio = error / self.bound
        greatest = np.maximum.reduceat(ratio, self.starts).tolist()
        largest = np.maximum.reduceat(error, self.starts).tolist()
        for here, ratio_here, error_here in zip(self.slices, greatest, largest, strict=True):
            in_bounds = ratio[here]
            finite = ratio_here < np.inf  # false for NaN
            yield Compared(error[here], in_bounds, int(in_bounds.argmax()), error_here) if finite else None


def compare(got: np.ndarray, mask: np.ndarray, standard: Standard) -> Compared:
    """The elements of the mask; to be called where NumPy is told not to mind what is not finite."""
    error, ratio, broken = _errors(got, mask, standard)
    # Within a wide bound there is nothing to conclude; beyond a proved bound there is, however wide it is.
    counted = broken | (mask & standard.finite & (standard.proves | (ratio > 1)))
    if counted.all():  # as a rule
        return Compared(error, ratio, int(ratio.argmax()), float(error.max()), breaks=bool(broken.any()))
    proves = bool(counted.any())
    considered = counted if proves else mask
    worst = int(np.where(considered, ratio, -1.0).argmax())
    largest = float(np.where(considered, error, 0.0).max())
    inconclusive = _whole_channels(mask & ~counted)
    return Compared(error, ratio, worst, largest, considered, proves, bool(broken.any()), inconclusive)


def _errors(got: np.ndarray, mask: np.ndarray, standard: Standard) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(|got - want|, error/bound, where a finite number is expected and none came), each of want's shape."""
    want = standard.want
    wide = got.astype(want.dtype)
    plain = wide if want.dtype == np.float64 else got.astype(np.float64)
    same = (wide == want) | (np.isnan(wide) & np.isnan(want))
    error = np.where(same, 0.0, np.abs(wide - want).astype(np.float64))
    ratio = np.where(error == 0, 0.0, error / standard.bound)
    broken = mask & standard.finite & ~np.isfinite(plain)
    return error, np.where(broken | np.isnan(ratio), np.inf, ratio), broken


def _whole_channels(mask: np.ndarray) -> int:
    """In how many channels every element is masked."""
    axes = (0, *range(2, mask.ndim)) if mask.ndim > 1 else ()
    return int(mask.all(axis=axes).sum())
