"""What a target gave in one observable of one step, measured by the oracle's values and bounds."""

from __future__ import annotations

from dataclasses import dataclass

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
    """What a target gave beside the standard, of want's shape."""

    error: np.ndarray
    """|got - want|"""
    ratio: np.ndarray
    """error/bound"""
    worst: int
    """Where the ratio is greatest among the elements that decide: the place in C order."""
    considered: np.ndarray | None = None
    """The elements that decide; None: all."""
    proves: bool = True
    breaks: bool = False
    """Whether a finite number is expected somewhere and none came."""
    inconclusive_channels: int = 0


def compare(got: np.ndarray, mask: np.ndarray, standard: Standard) -> Compared:
    """The elements of the mask; to be called where NumPy is told not to mind what is not finite."""
    return _plainly(got, standard) or _with_care(got, mask, standard)


def _plainly(got: np.ndarray, standard: Standard) -> Compared | None:
    """The quick way, where nothing is out of the ordinary; it gives the very numbers of `_with_care`."""
    if not standard.is_plain:
        return None
    want = standard.want
    error = np.abs(got.astype(want.dtype, copy=False) - want).astype(np.float64, copy=False)
    ratio = error / standard.bound
    worst = int(ratio.argmax())  # that of a NaN, where there is one
    return Compared(error, ratio, worst) if ratio.item(worst) < np.inf else None  # false for NaN


def _with_care(got: np.ndarray, mask: np.ndarray, standard: Standard) -> Compared:
    error, ratio, broken = _errors(got, mask, standard)
    # Within a wide bound there is nothing to conclude; beyond a proved bound there is, however wide it is.
    counted = broken | (mask & standard.finite & (standard.proves | (ratio > 1)))
    if counted.all():  # as a rule
        return Compared(error, ratio, int(ratio.argmax()), breaks=bool(broken.any()))
    proves = bool(counted.any())
    considered = counted if proves else mask
    worst = int(np.where(considered, ratio, -1.0).argmax())
    return Compared(error, ratio, worst, considered, proves, bool(broken.any()), _whole_channels(mask & ~counted))


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
