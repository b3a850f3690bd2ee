"""Mistakes of rounding, which cannot be replayed: two fast variances differ from each other as much as from the truth.

They are recognised by envelope: outside the honest bound, inside the mistake's own, which grows with mean/std (fast
variance) or with the unit roundoff of fewer bits. An envelope is the same oracle with wider bounds, so a fixed
mistake can be tested inside one as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import ml_dtypes
import numpy as np

from harness.cases.case import numpy_dtype
from harness.diagnose import tuning
from harness.judge.expected import Expected, expect
from harness.judge.oracle import OracleLayer
from harness.judge.report import PlayedCase
from reference.conventions import Conventions
from reference.error_bounds import Precision, precision_of

PARAMETERS = ("gamma", "beta", "moving_mean", "moving_var")
FLOAT16_MAX = float(ml_dtypes.finfo(np.float16).max)


@dataclass
class Envelope:
    """Wider bounds for the same cases, each computed when it is asked for; and where the mistake must show."""

    id: str
    detail: str
    widen: Callable[[PlayedCase], PlayedCase]
    also: str = ""
    """A second mistake of rounding that it holds."""
    _cache: dict[tuple[str, str], PlayedCase] = field(default_factory=dict)

    def around(self, played: Iterable[PlayedCase]) -> Iterable[PlayedCase]:
        for one in played:
            key = (one.case.id, one.dtype)
            if key not in self._cache:
                self._cache[key] = self.widen(one)
            yield self._cache[key]

    def shows(self, failing: list[PlayedCase], played: list[PlayedCase]) -> bool:
        """Whether the failures are where this mistake cannot help but show."""
        if self.id == "fast_variance" and any(map(far_from_zero, played)) and not any(map(far_from_zero, failing)):
            return False
        if self.id == "fast_variance" and not self.also:
            return True
        return wrong_where_bits_are_lost(failing) and of_its_size(self.around(failing)) and not one_sided(failing)


def envelopes(conventions: Conventions) -> list[Envelope]:
    """Fast variance first: it is the narrower of those that hold both."""

    def fast(one: PlayedCase) -> PlayedCase:
        return replace(one, expected=expect(one.script, conventions, fast_variance=True))

    def fewer(name: str) -> Envelope:
        detail = f"the errors are of the size of {name}'s roundoff"
        return Envelope("low_precision_stats", detail, lambda one: in_fewer_bits(one, conventions, name))

    return [Envelope("fast_variance", "", fast), *(fewer(name) for name in ("float32", "float16", "bfloat16"))]


def fast_in_float32(conventions: Conventions) -> Envelope:
    """E[x^2] - E[x]^2 in float32, whatever the input: both at once are wider than either, and asked last."""

    def widen(one: PlayedCase) -> PlayedCase:
        return in_fewer_bits(one, conventions, "float32", fast_variance=True)

    detail = "float64 is computed in float32"
    return Envelope("fast_variance", detail, widen, also="low_precision_stats")


def far_from_zero(one: PlayedCase) -> bool:
    """Whether some batch that is trained on has a channel whose mean is far larger than its standard deviation."""
    for step in one.script.steps:
        if step.op == "train" and step.x is not None and step.x.size:
            x = np.moveaxis(step.x, 1, -1).reshape(-1, step.x.shape[1]).astype(np.float64)
            mean, std = np.abs(x.mean(axis=0)), x.std(axis=0)
            far = tuning.FAR_MEAN_OVER_STD
            if ((std > far * np.finfo(np.float64).eps * mean) & (mean > far * std)).any():
                return True
    return False


def wrong_where_bits_are_lost(failing: list[PlayedCase]) -> bool:
    """Statistics in fewer bits spoil the moving ones as well: if only y is wrong, they are not at fault."""
    wrong = {j.observable for one in failing for j in one.judgements if j.counts_against}
    shown = any("moving_mean" in step.values for one in failing for step in one.observation.steps)
    return not shown or "y" not in wrong or bool(wrong & {"moving_mean", "moving_var"})


def one_sided(failing: list[PlayedCase]) -> bool:
    """Whether some observable always errs to the same side: rounding does not, a wrong factor does."""
    signs: dict[str, list[float]] = {}
    for one in failing:
        if one.case.values_per_channel > tuning.LONGEST_UNSTALLED_SUM:
            continue
        for seen, owed in zip(one.observation.steps, one.expected, strict=False):
            for name in ("moving_mean", "moving_var"):
                got, want = seen.values.get(name), owed.values.get(name)
                if got is not None and want is not None and got.shape == want.shape:
                    with np.errstate(all="ignore"):  # an infinity on both sides is no error
                        error = got.astype(want.dtype) - want
                    clear = np.isfinite(error) & (np.abs(error) > owed.bounds[name])
                    signs.setdefault(name, []).extend(np.sign(error[clear] * np.sign(want[clear])).astype(float))
    if signs.get("moving_mean"):  # by a mean that is itself wrong, every (x - mean)^2 is too large
        signs.pop("moving_var", None)
    return any(
        len(mine) >= tuning.ERRORS_TO_TELL_SIDES and abs(np.mean(mine)) > tuning.ONE_SIDED for mine in signs.values()
    )


def in_fewer_bits(one: PlayedCase, conventions: Conventions, name: str, fast_variance: bool = False) -> PlayedCase:
    """The same case with the bounds of statistics in `name`'s precision, where that is fewer bits than was owed."""
    own, narrow = precision_of(one.dtype), precision_of(name)
    unit = max(own.work, narrow.io)
    precision = Precision(unit, max(own.io, unit if one.dtype == "float64" else own.io), own.work_tiny, own.io_tiny)
    expected = expect(one.script, conventions, precision=precision, fast_variance=fast_variance)
    if unit > own.work:
        _rounded_inputs(one, conventions, numpy_dtype(name), expected)
    if name == "float16":
        _overflow(one, expected)
    return replace(one, expected=expected)


def _rounded_inputs(one: PlayedCase, conventions: Conventions, narrow: np.dtype, expected: list[Expected]) -> None:
    """Inputs and parameters may be rounded before anything is computed: what that changes is added to the bounds."""

    def rounded(array: np.ndarray) -> np.ndarray:
        return array.astype(narrow).astype(array.dtype)

    layers = []
    for setup in one.script.setups:
        changed: Any = {name: rounded(getattr(setup, name)) for name in PARAMETERS}
        layers.append(OracleLayer.from_setup(replace(setup, **changed), conventions))
    with np.errstate(all="ignore"):
        for step, owed in zip(one.script.steps, expected, strict=False):
            if owed.raises:
                return
            if step.x is not None and step.dy is not None:
                step = replace(step, x=rounded(step.x), dy=rounded(step.dy))
            for observable, value in layers[step.session].play(step).items():
                change = np.abs(value - owed.values[observable]).astype(np.float64)
                owed.bounds[observable] = owed.bounds[observable] + np.where(np.isfinite(change), change, np.inf)


def _overflow(one: PlayedCase, expected: list[Expected]) -> None:
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


def of_its_size(played: Iterable[PlayedCase]) -> bool:
    """Whether some observed error is of the order of the wider bound."""
    return any(
        _largest_share(step.values, expected) > tuning.SHARE_OF_ENVELOPE
        for one in played
        for step, expected in zip(one.observation.steps, one.expected, strict=False)
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
