"""What tells a mistake of rounding from a wrong formula whose errors are as large."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from harness.diagnose import tuning
from harness.judge.expected import Expected
from harness.judge.report import PlayedCase
from harness.observables import STATISTICS
from harness.targets.player import StepResult


def is_far_from_zero(played: PlayedCase) -> bool:
    """Whether some batch that is trained on has a channel whose mean is far larger than its standard deviation.

    A channel whose values differ by rounding alone does not count: it is constant.
    """
    far = tuning.FAR_MEAN_OVER_STD
    for step in played.script.steps:
        if step.op == "train" and step.x is not None and step.x.size:
            rows = np.moveaxis(step.x, 1, -1).reshape(-1, step.x.shape[1]).astype(np.float64)
            with np.errstate(invalid="ignore"):  # an infinity in its channel makes that channel's NaN, and no more
                mean, std = np.abs(rows.mean(axis=0)), rows.std(axis=0)
            if ((std > far * np.finfo(np.float64).eps * mean) & (mean > far * std)).any():
                return True
    return False


def moving_statistics_are_wrong_too(failing: list[PlayedCase]) -> bool:
    """Statistics in fewer bits spoil the moving ones as well: if only y is wrong, they are not at fault.

    True where the target shows no moving statistics, or y is right.
    """
    wrong = {judgement.observable for case in failing for judgement in case.judgements if judgement.counts_against}
    shown = any("moving_mean" in result.values for case in failing for result in case.observation.steps)
    return not shown or "y" not in wrong or bool(wrong & set(STATISTICS))


def errors_are_one_sided(failing: list[PlayedCase]) -> bool:
    """Whether some moving statistic always errs to the same side: rounding does not, a wrong factor does."""
    sides: dict[str, list[float]] = {name: [] for name in STATISTICS}
    for case in failing:
        for result, expected in zip(case.observation.steps, case.expected, strict=False):
            for name in STATISTICS:
                sides[name] += _sides(result, expected, name)
    if sides["moving_mean"]:  # by a mean that is itself wrong, every (x - mean)^2 is too large
        sides["moving_var"] = []
    return any(
        len(signs) >= tuning.ERRORS_TO_TELL_SIDES and abs(np.mean(signs)) > tuning.ONE_SIDED for signs in sides.values()
    )


def _sides(result: StepResult, expected: Expected, name: str) -> list[float]:
    """1 for each element that is beyond its bound and too large in magnitude, -1 for each that is too small."""
    got, want = result.values.get(name), expected.values.get(name)
    if got is None or want is None or got.shape != want.shape:
        return []
    with np.errstate(all="ignore"):  # an infinity on both sides is no error
        error = got.astype(want.dtype) - want
    beyond = np.isfinite(error) & (np.abs(error) > expected.bounds[name])
    return list(np.sign(error[beyond] * np.sign(want[beyond])).astype(float))


def errors_are_of_its_size(widened: Iterable[PlayedCase]) -> bool:
    """Whether some error is of the order of the wider bound that the case has here."""
    return any(
        _largest_ratio(result, expected) > tuning.SHARE_OF_ENVELOPE
        for case in widened
        for result, expected in zip(case.observation.steps, case.expected, strict=False)
    )


def _largest_ratio(result: StepResult, expected: Expected) -> float:
    """The largest finite error/bound of a step."""
    largest = 0.0
    for name, bound in expected.bounds.items():
        got, want = result.values.get(name), expected.values.get(name)
        if got is not None and want is not None and got.shape == want.shape and got.size:
            with np.errstate(all="ignore"):
                error = np.abs(got.astype(np.float64) - want.astype(np.float64))
                ratios = np.where((bound > 0) & np.isfinite(bound) & np.isfinite(error), error / bound, 0.0)
            largest = max(largest, float(ratios.max()))
    return largest
