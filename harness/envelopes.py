"""Mistakes of rounding, which cannot be replayed: two fast variances differ from each other by as much as from the truth.

They are recognised by envelope: outside the honest bound, inside the mistake's own, which grows with mean/std (fast
variance) or with the unit roundoff of fewer bits. An envelope is the same oracle with wider bounds, so a fixed
mistake can be tested inside one as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from harness.check import Played
from harness.oracle import Expected, OracleLayer, expect
from harness.replay import SLACK, explains
from reference.conventions import Conventions
from reference.error_bounds import Precision, precision_of

if TYPE_CHECKING:
    from harness.diagnose import Suspect

Explanation = tuple[tuple[str, ...], str]
FEWER_BITS = {"float64": ("float32",), "float32": ("float16", "bfloat16")}
SIXTEEN = {"float32", "bfloat16", "float16"}
OF_ITS_SIZE = 1e-3
"""Statistics in fewer bits err by about that many bits' roundoff: an error far below it is something else."""


def explanations(played: list[Played], conventions: Conventions) -> list[Explanation]:
    """The envelopes that hold everything that was observed."""
    found: list[Explanation] = []
    if explains(OracleLayer, fast(played, conventions), conventions):
        found.append((("fast_variance",), ""))
    if not found:
        for name in ("float32", "float16", "bfloat16"):
            wider = fewer_bits(played, conventions, name)
            if explains(OracleLayer, wider, conventions) and of_its_size(wider):
                found.append((("low_precision_stats",), f"their errors are of the size of {name}'s roundoff"))
                break
    return found


def explanations_with(
    singles: Sequence[Suspect], played: list[Played], conventions: Conventions
) -> list[Explanation]:
    """A fixed mistake on top of a fast variance."""
    wider = fast(played, conventions)
    return [
        ((*one.ids, "fast_variance"), "") for one in singles if explains(one.layer(), wider, conventions)
    ]


def fast(played: list[Played], conventions: Conventions) -> list[Played]:
    """The same cases with the bounds of a variance E[x^2] - E[x]^2."""
    return [replace(one, expected=expect(one.script, conventions, fast_variance=True)) for one in played]


def fewer_bits(played: list[Played], conventions: Conventions, name: str) -> list[Played]:
    """The same cases with the bounds of statistics in `name`'s precision, where that is fewer bits than was owed."""
    narrow = precision_of(name)
    wider = []
    for one in played:
        own = precision_of(one.dtype)
        unit = max(own.work, narrow.io)
        precision = Precision(unit, max(own.io, unit if one.dtype == "float64" else own.io), own.work_tiny, own.io_tiny)
        wider.append(replace(one, expected=expect(one.script, conventions, precision=precision)))
    return wider


def of_its_size(played: list[Played]) -> bool:
    """Whether some observed error is of the order of the wider bound."""
    return any(
        _largest_share(step.values, expected) > OF_ITS_SIZE * SLACK
        for one in played
        for step, expected in zip(one.seen.steps, one.expected, strict=False)
    )


def _largest_share(values: dict[str, np.ndarray], expected: Expected) -> float:
    share = 0.0
    for name in ("y", "moving_mean", "moving_var"):
        if name in values and values[name].shape == expected.values[name].shape and values[name].size:
            with np.errstate(all="ignore"):
                error = np.abs(values[name].astype(np.float64) - expected.values[name].astype(np.float64))
                bound = expected.bounds[name]
                ratios = np.where((bound > 0) & np.isfinite(bound) & np.isfinite(error), error / bound, 0.0)
            share = max(share, float(ratios.max()))
    return share
