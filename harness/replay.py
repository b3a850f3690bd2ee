"""Does a layer with a known mistake do what a target did? The oracle's own bounds decide, widened for what is wrong."""

from __future__ import annotations

import numpy as np

from harness.check import Played
from harness.oracle import Expected, OracleLayer
from harness.play import Played as PlayedStep
from harness.verdict import conclusive
from reference.conventions import Conventions
from reference.error_bounds import precision_of

SLACK = 4.0
"""The bound is that of the right arithmetic; the mistaken one has other roundings. A mistake moves 100 bounds."""


def explains(layer: type[OracleLayer], played: list[Played], conventions: Conventions) -> bool:
    """Whether `layer`, played through the same scripts, gives everything that was observed."""
    return all(fits(layer, one, conventions) for one in played)


def fits(layer: type[OracleLayer], played: Played, conventions: Conventions) -> bool:
    """The same for one case. The honest oracle's bounds are those that `check` computed."""
    sessions = [layer.from_setup(setup, conventions) for setup in played.script.setups]
    with np.errstate(all="ignore"):
        for seen, step, expected in zip(played.seen.steps, played.script.steps, played.expected, strict=False):
            try:
                values = sessions[step.session].play(step)
            except (ValueError, IndexError):
                return seen.error is not None
            if seen.error is not None:
                return False
            if not _same(played, seen, values, expected):
                return False
    return True


def _same(played: Played, seen: PlayedStep, values: dict[str, np.ndarray], expected: Expected) -> bool:
    unit = precision_of(played.dtype)
    for name, got in seen.values.items():
        if name not in values or name not in expected.values or got.shape != expected.values[name].shape:
            continue
        mistaken, want = values[name], expected.values[name]
        if mistaken.shape != want.shape:
            return False
        u = unit.io if name in ("y", "dx") else unit.work
        allowed = tolerance(expected.bounds.get(name), want, mistaken, u)
        error = np.abs(got.astype(want.dtype) - mistaken)
        both_lost = ~np.isfinite(mistaken) & ~np.isfinite(got.astype(want.dtype))
        anything = np.isinf(expected.bounds[name]) if name in expected.bounds else False
        if (_law_channels(played, want) & ~both_lost & ~anything & ~(error <= allowed)).any():
            return False
    return True


def tolerance(bound: np.ndarray | None, want: np.ndarray, mistaken: np.ndarray, u: float) -> np.ndarray:
    """The honest bound, times how much larger a channel's values are with the mistake, plus a few roundings.

    Where even the honest bound proves nothing (DESIGN's inconclusive), nothing is asked: infinity.
    """
    if bound is None:
        return np.zeros(want.shape)
    axes = (0, *range(2, want.ndim)) if want.ndim > 1 else ()
    size, mistaken_size = (np.abs(a).max(axis=axes, keepdims=True, initial=0.0) for a in (want, mistaken))
    growth = np.where(size > 0, np.maximum(1.0, mistaken_size / np.where(size > 0, size, 1.0)), 1.0)
    allowed = SLACK * (bound * growth + 8 * u * np.maximum(np.abs(mistaken), np.abs(want)))
    vacuous = ~conclusive(bound, want, u) & ~conclusive(allowed.astype(np.float64) / SLACK, mistaken, u)
    return np.where(vacuous, np.inf, allowed)


def _law_channels(played: Played, want: np.ndarray) -> np.ndarray:
    channels = want.shape[1] if want.ndim > 1 else want.shape[0]
    law = np.array([not played.case.is_policy(c) for c in range(channels)])
    return law.reshape(1, -1, *[1] * (want.ndim - 2)) if want.ndim > 1 else law
