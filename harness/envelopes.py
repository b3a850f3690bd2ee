"""Mistakes of rounding, which cannot be replayed: two fast variances differ from each other as much as from the truth.

They are recognised by envelope: outside the honest bound, inside the mistake's own, which grows with mean/std (fast
variance) or with the unit roundoff of fewer bits. An envelope is the same oracle with wider bounds, so a fixed
mistake can be tested inside one as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import ml_dtypes
import numpy as np

from harness.check import Played
from harness.oracle import Expected, expect
from harness.replay import SLACK
from reference.conventions import Conventions
from reference.error_bounds import Precision, precision_of

OF_ITS_SIZE = 1e-3
"""Statistics in fewer bits err by about that many bits' roundoff: an error far below it is something else."""
FLOAT16_MAX = float(ml_dtypes.finfo(np.float16).max)


@dataclass
class Envelope:
    """Wider bounds for the same cases, each computed when it is asked for."""

    id: str
    detail: str
    widen: Callable[[Played], Played]
    must_be_of_its_size: bool = False
    _cache: dict[tuple[str, str], Played] = field(default_factory=dict)

    def around(self, played: Iterable[Played]) -> Iterable[Played]:
        for one in played:
            key = (one.case.id, one.dtype)
            if key not in self._cache:
                self._cache[key] = self.widen(one)
            yield self._cache[key]


def envelopes(conventions: Conventions) -> list[Envelope]:
    """Fast variance first: it is the narrower of those that hold both."""

    def fast(one: Played) -> Played:
        return replace(one, expected=expect(one.script, conventions, fast_variance=True))

    def fewer(name: str) -> Envelope:
        detail = f"the errors are of the size of {name}'s roundoff"
        return Envelope("low_precision_stats", detail, lambda one: in_fewer_bits(one, conventions, name), True)

    return [Envelope("fast_variance", "", fast), *(fewer(name) for name in ("float32", "float16", "bfloat16"))]


def in_fewer_bits(one: Played, conventions: Conventions, name: str) -> Played:
    """The same case with the bounds of statistics in `name`'s precision, where that is fewer bits than was owed."""
    own, narrow = precision_of(one.dtype), precision_of(name)
    unit = max(own.work, narrow.io)
    precision = Precision(unit, max(own.io, unit if one.dtype == "float64" else own.io), own.work_tiny, own.io_tiny)
    expected = expect(one.script, conventions, precision=precision)
    if name == "float16":
        _overflow(one, expected)
    return replace(one, expected=expected)


def _overflow(one: Played, expected: list[Expected]) -> None:
    """Sums beyond float16's largest number may leave anything: of the statistics, and of all that follows."""
    lost = np.zeros((len(one.script.setups), one.case.shape[1]), bool)
    for step, owed in zip(one.script.steps, expected, strict=False):
        if step.x is not None and step.dy is not None:
            x = np.moveaxis(step.x.astype(np.float64), 1, -1).reshape(-1, one.case.shape[1])
            with np.errstate(all="ignore"):
                lost[step.session] |= ((x * x).sum(axis=0) > FLOAT16_MAX) | (np.abs(x).sum(axis=0) > FLOAT16_MAX)
        for name, bound in owed.bounds.items():
            shape = (1, -1, *[1] * (bound.ndim - 2)) if bound.ndim > 1 else (-1,)
            owed.bounds[name] = np.where(lost[step.session].reshape(shape), np.inf, bound)


def of_its_size(played: Iterable[Played]) -> bool:
    """Whether some observed error is of the order of the wider bound."""
    return any(
        _largest_share(step.values, expected) > OF_ITS_SIZE * SLACK
        for one in played
        for step, expected in zip(one.seen.steps, one.expected, strict=False)
    )


def _largest_share(values: dict[str, np.ndarray], expected: Expected) -> float:
    share = 0.0
    for name in expected.bounds:
        if name in values and values[name].shape == expected.values[name].shape and values[name].size:
            with np.errstate(all="ignore"):
                error = np.abs(values[name].astype(np.float64) - expected.values[name].astype(np.float64))
                bound = expected.bounds[name]
                ratios = np.where((bound > 0) & np.isfinite(bound) & np.isfinite(error), error / bound, 0.0)
            share = max(share, float(ratios.max()))
    return share
