"""What a case proves, measured: how narrow its bounds are, what it leaves open, what finite differences show on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from harness.cases.case import Case
from harness.judge.judge import conclusive
from harness.judge.oracle import NoOracleError
from harness.judge.prepare import prepare
from harness.observables import OBSERVABLES, column
from reference.batch_norm import BatchNorm
from reference.conventions import D2L
from reference.error_bounds import precision_of

STEPS = tuple(10.0**-power for power in range(1, 9))
"""The widths of a central difference that are tried."""
DIRECTIONS = 6
"""How many elements of x are moved."""
SMALLEST_MISTAKE = 0.1
"""A check that is off by more than this share of dx could not tell a missing term from rounding."""


def resolution(case: Case, seed: int) -> Iterator[str]:
    """For each type: of each observable the widest bound, as a share of the RMS of its channel."""
    for dtype in case.dtypes:
        try:
            prepared = prepare(case, dtype, seed, D2L)
        except NoOracleError as error:
            yield f"{dtype}: {error}"
            continue
        widest: dict[str, float] = {}
        proves_nothing: set[str] = set()
        for step, expected in zip(prepared.script.steps, prepared.expected, strict=False):
            for name, want in expected.values.items():
                bound, label = expected.bounds.get(name), column(name, step.op)
                if bound is None or not want.size or not np.isfinite(bound).any():
                    continue
                u = OBSERVABLES[name].unit_roundoff(precision_of(dtype))
                with np.errstate(all="ignore"):
                    rms = np.sqrt(np.mean(np.square(want.astype(np.float64))))
                    share = float(np.nanmax(np.where(np.isfinite(bound), bound, np.nan)) / rms)
                if not conclusive(bound, want, u).any():
                    proves_nothing.add(label)
                elif np.isfinite(share):
                    widest[label] = max(widest.get(label, 0.0), share)
        listed = ", ".join(f"{label} {share:.1g}" for label, share in widest.items())
        nothing = f"; nothing of {', '.join(sorted(proves_nothing))}" if proves_nothing else ""
        yield f"{dtype}: {listed}{nothing}"


def not_shown(case: Case) -> Iterator[str]:
    """What its shape, script and numbers leave open."""
    n, ops = case.values_per_channel, set(case.script)
    if n > 1 and case.eps >= 0:
        factor = n / (n - 1)
        if factor - 1 < 1e-2:
            yield f"Bessel's factor: n/(n-1) = {factor:.6g} is all that parts sum/n from sum/(n-1)"
    if n == 1:
        yield "anything of the variance: of one value it is 0"
    if len(case.shape) == 2:
        yield "wrong spatial axes: there are none at rank 2"
    if len(set(case.shape)) < len(case.shape):
        yield "nothing by a wrong shape: two axes are of one length, so that a wrong axis gives wrong numbers instead"
    if not any(op.startswith("train") for op in ops):
        yield "training"
    if "eval" not in ops:
        yield "prediction"
    if not any(op.startswith("restore") for op in ops):
        yield "what is saved and restored"
    if sum(op.startswith("train") for op in case.script) < 2:
        yield "how the moving statistics go on after the first step"
    if case.layout == "plain":
        yield "strides: x lies in memory in its own order"


@dataclass(frozen=True)
class GradientCheck:
    """A central difference of sum(y dy) by some elements of x, beside the exact dx."""

    width: float
    off: float
    """The largest deviation, as a share of the RMS of dx."""


def gradient_check(case: Case, seed: int) -> Iterator[str]:
    """Whether finite differences prove something here, and with which width; measured with the reference itself."""
    train = next((i for i, op in enumerate(case.script) if op == "train"), None)
    if train is None or case.values_per_channel < 2 or case.options.asked_for:
        yield "it has no ordinary training step"
        return
    for dtype in ("float64", "float32"):
        step = case.make("float64", seed, 0.875).steps[train]
        assert step.x is not None
        assert step.dy is not None
        with np.errstate(all="ignore"):
            checks = [central_difference(step.x, step.dy, case.eps, np.dtype(dtype), width) for width in STEPS]
        best = min(checks, key=lambda check: check.off if np.isfinite(check.off) else np.inf)
        verdict = "proves something" if best.off < SMALLEST_MISTAKE else "proves nothing"
        yield (
            f"{dtype}: at best {best.off:.1g} of dx, by a width of {best.width:g} times the standard deviation: "
            f"{verdict}; by {STEPS[-1]:g} it is {checks[-1].off:.1g} off"
        )
    yield "a dy of ones proves nothing anywhere: sum(y) does not hang on x, dx is 0, and what is seen is rounding"


def central_difference(x: np.ndarray, dy: np.ndarray, eps: float, dtype: np.dtype, width: float) -> GradientCheck:
    """x, dy: float64, channels on axis 1. width: in standard deviations of x's channel. Everything runs in `dtype`."""
    layer = BatchNorm(x.shape[1], eps, 0.9, D2L, dtype)
    exact = BatchNorm(x.shape[1], eps, 0.9, D2L, np.longdouble)
    _, cache = exact.train(x.astype(np.longdouble))
    dx, _, _ = exact.train_backward(dy.astype(np.longdouble), cache)
    scale = np.sqrt(np.mean(np.square(dx)))
    stds = x.std(axis=(0, *range(2, x.ndim)))
    places = np.random.default_rng(0).choice(x.size, min(DIRECTIONS, x.size), replace=False)
    worst = 0.0
    for place in (np.unravel_index(int(p), x.shape) for p in places):
        h = dtype.type(width * max(stds[place[1]], np.finfo(np.float64).tiny))
        sums = []
        for side in (1, -1):
            moved = x.astype(dtype)
            moved[place] += side * h
            y, _ = layer.train(moved)
            sums.append((y * dy.astype(dtype)).sum(dtype=dtype))
        off = abs((sums[0] - sums[1]) / (2 * h) - dx[place]) / scale
        worst = float(np.maximum(worst, off))  # max() would pass over a NaN
    return GradientCheck(width, worst if np.isfinite(worst) else np.inf)
