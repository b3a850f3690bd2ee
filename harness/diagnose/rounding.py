"""What tells a mistake of rounding from a wrong formula whose errors are as large."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from harness.cases.case import numpy_dtype
from harness.diagnose import tuning
from harness.diagnose.deviations import Deviation, channels_of, constant_factor, deviations, wrong_columns
from harness.judge.expected import Expected
from harness.judge.report import PlayedCase
from harness.observables import STATISTICS
from harness.targets.player import StepResult
from reference.error_bounds import precision_of

BY_BATCH = ("train", "train_jvp", "train_double")
"""The operations in which the batch's own statistics count."""

ENOUGH_CHANNELS = 3
"""Fewer channels that move too far show no common factor."""


@dataclass(frozen=True)
class Errors:
    """What the cases that fail, and all of them, were off by: worked out when it is first asked for, and kept."""

    failing: list[PlayedCase]
    played: list[PlayedCase]

    @cached_property
    def of_failing(self) -> list[Deviation]:
        return list(deviations(self.failing))

    @cached_property
    def of_all(self) -> list[Deviation]:
        failing = {id(case) for case in self.failing}
        return [*self.of_failing, *deviations(case for case in self.played if id(case) not in failing)]


def is_far_from_zero(played: PlayedCase) -> bool:
    """Whether some batch that is trained on has a channel whose mean is far larger than its standard deviation.

    A channel whose values differ by rounding alone does not count: it is constant.
    """
    far = tuning.FAR_MEAN_OVER_STD
    for step in played.script.steps:
        if step.op in BY_BATCH and step.x is not None and step.x.size:
            rows = np.moveaxis(step.x, 1, -1).reshape(-1, step.x.shape[1]).astype(np.float64)
            with np.errstate(invalid="ignore"):  # an infinity in its channel makes that channel's NaN, and no more
                mean, std = np.abs(rows.mean(axis=0)), rows.std(axis=0)
            if ((std > far * np.finfo(np.float64).eps * mean) & (mean > far * std)).any():
                return True
    return False


def are_rounding(errors: Errors, narrow: str, once: float = 0.0) -> bool:
    """Whether there is evidence that the errors come from too few bits, rather than from a formula.

    What is stored is representable in the `narrow` type; or else the errors shrink with the unit roundoff of the dtype,
    are made by no constant factor, and spoil what comes of the statistics as well as the moving averages.
    once: a roundoff of which few errors may look like a factor, no further than that from 1.
    """
    failing = errors.failing
    wrong = wrong_columns(errors.of_failing)
    factors = [constant_factor(of_column) for of_column in wrong.values()]
    if any(factor is not None and abs(factor - 1) > once for factor in factors) or are_of_a_weight(failing):
        return False
    if all(is_representable(of_column, narrow) for of_column in wrong.values()):
        return True
    return (
        shrink_with_roundoff(errors)
        and statistics_are_wrong_in_both(failing, narrow)
        and show_far_from_zero(failing, errors.played)
    )


def show_far_from_zero(failing: list[PlayedCase], played: list[PlayedCase]) -> bool:
    """Whether some case fails whose mean is far from zero: there a mean of few bits errs by many standard deviations.

    True where no such case was played. Where no statistic is wrong it is the sums of gradients: of dgamma and dbeta
    alike, since both are sums of as many terms.
    """
    wrong = {judgement.observable for case in failing for judgement in case.judgements if judgement.counts_against}
    if not wrong & {"y", *STATISTICS}:
        given = {name for case in failing for result in case.observation.steps for name in result.values}
        return {"dgamma", "dbeta"} & given <= wrong
    dtypes = {case.dtype for case in failing}
    could = any(is_far_from_zero(case) for case in played if case.dtype in dtypes)
    return not could or any(map(is_far_from_zero, failing))


def are_of_a_weight(failing: list[PlayedCase]) -> bool:
    """Whether each first error of the moving statistics is a wrong weight: one factor on how far all channels move."""
    factors = [factor for case in failing for factor in factors_of_movement(case)]
    return bool(factors) and all(factor is not None for factor in factors)


def factors_of_movement(played: PlayedCase) -> Iterator[float | None]:
    """For each moving statistic the factor by which it moved too far where it went wrong first; None: by no factor."""
    for name in STATISTICS:
        before = [np.asarray(getattr(setup, name), np.float64) for setup in played.script.setups]
        for number, (step, result, expected) in enumerate(
            zip(played.script.steps, played.observation.steps, played.expected, strict=False)
        ):
            got, want = result.values.get(name), expected.values.get(name)
            if got is None or want is None or got.shape != want.shape or step.op == "restore":
                break
            start, want = before[step.session], want.astype(np.float64)
            bound = expected.bounds[name]
            with np.errstate(invalid="ignore"):  # what overflowed before stays so: inf - inf
                by = got.astype(np.float64) - start
                moved = Deviation(played, number, name, by, want - start, bound, channels_of(want))
            if moved.beyond.any():
                yield constant_factor([moved], enough=ENOUGH_CHANNELS) if result.op != "eval" else None
                break
            before[step.session] = want


def is_representable(of_column: list[Deviation], narrow: str) -> bool:
    """Whether every value that is wrong is a number of the `narrow` type."""
    got = np.concatenate([deviation.got[deviation.beyond] for deviation in of_column])
    with np.errstate(over="ignore"):
        return bool((got.astype(numpy_dtype(narrow)).astype(np.float64) == got).all())


def shrink_with_roundoff(errors: Errors) -> bool:
    """Whether what is wrong in one dtype is so much less wrong in a wider one, in the cases that both played.

    From one type to a wider one errors of rounding shrink by the ratio of the unit roundoffs; half of that, in powers
    of two, is asked for. A formula errs by as much in float64 as in float32.
    """
    wrong = {(d.played.case.id, d.step, d.column): d for d in errors.of_failing if d.beyond.any()}
    for wider in errors.of_all:
        narrower = wrong.get((wider.played.case.id, wider.step, wider.column))
        if narrower is None:
            continue
        shrinks_to = np.sqrt(roundoff(wider.played.dtype) / roundoff(narrower.played.dtype))
        if shrinks_to < 1 and wider.beyond.any() and wider.relative > shrinks_to * narrower.relative:
            return False
    return True


def roundoff(dtype: str) -> float:
    return precision_of(dtype).io


def statistics_are_wrong_in_both(failing: list[PlayedCase], narrow: str) -> bool:
    """Whether y is wrong where the moving statistics are, and the other way round: both come of the same statistics.

    True where the target shows only one of the two, or where y in its own dtype shows no error of that size.
    """
    wrong = {judgement.observable for case in failing for judgement in case.judgements if judgement.counts_against}
    given = {name for case in failing for result in case.observation.steps for name in result.values}
    trained_y = any(
        judgement.op == "train" and judgement.observable in ("y", "dx") and judgement.counts_against
        for case in failing
        for judgement in case.judgements
    )
    if narrow == "float32" and wrong & set(STATISTICS) and not given & set(STATISTICS) <= wrong:
        return False  # what computes float64 in float32 has neither statistic right
    if "y" in wrong and given & set(STATISTICS) and not wrong & set(STATISTICS):
        return False
    y_would_show = all(roundoff(case.dtype) < precision_of(narrow).io for case in failing) and "y" in given
    return trained_y or not y_would_show or not wrong & set(STATISTICS)


def errors_are_one_sided(cases: list[tuple[PlayedCase, PlayedCase]]) -> bool:
    """Whether some moving statistic always errs to the same side: rounding does not, a wrong factor does.

    cases: (as judged, with the wider bounds). By a mean that is itself wrong every (x - mean)^2 is too large; a mean
    that errs by much less than the wider bounds does that to no digit that counts.
    """
    sides: dict[str, list[float]] = {name: [] for name in STATISTICS}
    for case, _ in cases:
        for result, expected in zip(case.observation.steps, case.expected, strict=False):
            for name in STATISTICS:
                sides[name] += _sides(result, expected, name)
    if errors_are_of_its_size(cases, among=("moving_mean",)):
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


def errors_are_of_its_size(cases: Iterable[tuple[PlayedCase, PlayedCase]], among: Iterable[str] | None = None) -> bool:
    """Whether something wrong is off by the order of the wider bound. cases: (as judged, with the wider bounds).

    among: the observables that are looked at; None: all.
    """
    return any(
        _largest_ratio(result, wide, _wrong_names(result, judged, among)) > tuning.SHARE_OF_ENVELOPE
        for case, widened in cases
        for result, judged, wide in zip(case.observation.steps, case.expected, widened.expected, strict=False)
    )


def _wrong_names(result: StepResult, expected: Expected, among: Iterable[str] | None) -> set[str]:
    """The observables of a step that are beyond their honest bounds."""
    names = expected.bounds.keys() if among is None else expected.bounds.keys() & set(among)
    return {name for name in names if _largest_ratio(result, expected, {name}) > 1}


def _largest_ratio(result: StepResult, expected: Expected, names: Iterable[str]) -> float:
    """The largest finite error/bound of these observables of a step."""
    largest = 0.0
    for name in names:
        bound, got, want = expected.bounds[name], result.values.get(name), expected.values.get(name)
        if got is not None and want is not None and got.shape == want.shape and got.size:
            with np.errstate(all="ignore"):
                error = np.abs(got.astype(want.dtype) - want).astype(np.float64)
                ratios = np.where((bound > 0) & np.isfinite(bound) & np.isfinite(error), error / bound, 0.0)
            largest = max(largest, float(ratios.max()))
    return largest
