"""Policy: behaviour in which honest implementations differ. It is noted, and never counts against a target."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from harness.diagnose import tuning
from harness.diagnose.accuracy import on_accuracy
from harness.diagnose.twice import on_playing_twice
from harness.findings import Note
from harness.judge.judgement import Verdict
from harness.judge.report import PlayedCase, TargetReport
from harness.observables import STATISTICS
from reference.error_bounds import precision_of

BEHAVIOUR = (
    ("near_overflow", "overflow", "squares that overflow change the result"),
    ("near_underflow", "underflow", "squares that underflow change the result"),
    ("momentum_zero", "momentum_extreme", "a new batch that weighs 0 is not taken literally"),
    ("momentum_one", "momentum_extreme", "an old value that weighs 0 is not taken literally"),
    ("your_input", "overflow", "squares that overflow, or underflow, change the result"),
    ("one_value", "single_value", "one value per channel is treated in a way of its own"),
    ("eps_zero", "eps_zero", "an eps of 0 is not taken literally"),
    ("tiny_eps", "refuses", "an eps of 1e-7 is refused"),
    ("reversed_input", "refuses", "an array with negative strides is refused"),
    ("broadcast_gradient", "refuses", "a dy with a stride of zero is refused"),
)
"""(case, id, text): what is noted where a policy case gives something else than the oracle."""


def notes_on(report: TargetReport) -> list[Note]:
    """What the policy cases showed, one note an id and behaviour."""
    return [
        *_first_note(report, "empty_batch", _on_empty_batch),
        *_first_note(report, "mask_nothing_left", _on_mask_of_nothing),
        *_first_note(report, "nan_in_one_channel", _on_nan),
        *(note for behaviour in BEHAVIOUR for note in _noted(report, *behaviour)),
        *_first_note(report, "many_values", _on_many_values),
        *_first_note(report, "one_value", _on_single_value),
        *_on_overwritten_results(report),
        *on_playing_twice(report),
        *on_accuracy(report),
    ]


def _first_note(report: TargetReport, case: str, note_on: Callable[[PlayedCase], Note | None]) -> list[Note]:
    """The first note that a case gives, over the dtypes in which it was played."""
    notes: Iterator[Note | None] = (note_on(played) for played in report.played if played.case.id == case)
    return [note for note in notes if note][:1]


def _noted(report: TargetReport, case: str, identity: str, text: str) -> list[Note]:
    noted = [j for j in report.judgements if j.case == case and j.verdict is Verdict.noted]
    if not noted:
        return []
    message = next((judgement.message for judgement in noted if judgement.observable is None), None)
    observables = sorted({judgement.observable for judgement in noted if judgement.observable})
    return [Note(identity, text + (f": {message}" if message else f" ({', '.join(observables)})"))]


def _on_mask_of_nothing(played: PlayedCase) -> Note | None:
    for result in played.observation.steps[:1]:
        if result.error:
            return Note("mask_nothing_left", f"a mask that counts nothing raises {result.error}")
        moved = [result.values[name].astype(np.float64) for name in STATISTICS if name in result.values]
        if any(not np.isfinite(values).all() for values in moved):
            return Note("mask_nothing_left", "a mask that counts nothing turns the moving statistics to NaN")
        starts = played.script.setups[result.session]
        if any(not np.array_equal(result.values[n], getattr(starts, n)) for n in STATISTICS if n in result.values):
            return Note("mask_nothing_left", "a mask that counts nothing moves the moving statistics")
    return None


def _on_empty_batch(played: PlayedCase) -> Note | None:
    for result, setup in zip(played.observation.steps[:1], played.script.setups, strict=False):
        if result.error:
            return Note("empty_batch_wrong", f"an empty batch raises {result.error}")
        mean, var = (result.values.get(name) for name in ("moving_mean", "moving_var"))
        if any(value is not None and not np.isfinite(value.astype(np.float64)).all() for value in (mean, var)):
            return Note("empty_batch_wrong", "an empty batch turns the moving statistics to NaN")
        for value, before in ((mean, setup.moving_mean), (var, setup.moving_var)):
            if value is not None and not np.array_equal(value, before):
                return Note("empty_batch_wrong", "an empty batch moves the moving statistics")
    return None


def _on_nan(played: PlayedCase) -> Note | None:
    """What a NaN in channel 1 does there."""
    for result in played.observation.steps:
        var = result.values.get("moving_var")
        if result.op == "train" and var is not None and var.ndim == 1:
            if np.isnan(var.astype(np.float64)[1]):
                return Note("nan_kept", "a NaN stays in its channel's moving statistics for good")
            return Note("nan_dropped", "a NaN does not reach its channel's moving statistics")
    return None


def _on_single_value(played: PlayedCase) -> Note | None:
    """What one value per channel leaves in the moving variance: 0/0, where that is unbiased."""
    var = played.observation.steps[0].values.get("moving_var") if played.observation.steps else None
    if var is not None and np.isnan(var.astype(np.float64)).any():
        return Note("single_value_spoils", "one value per channel leaves NaN in the moving variance for good")
    return None


def _on_overwritten_results(report: TargetReport) -> list[Note]:
    names = sorted({name for played in report.played for name in played.observation.overwritten})
    text = f"a later call writes over {', '.join(names)} of an earlier one: copy what you keep"
    return [Note("result_overwritten", text)] if names else []


def _on_many_values(played: PlayedCase) -> Note | None:
    """Naive summation: the mean of many values errs by more than a tree of additions could."""
    if not played.observation.steps or not played.expected:
        return None
    got, want = played.observation.steps[0].values.get("moving_mean"), played.expected[0].values["moving_mean"]
    x, n, u = played.script.steps[0].x, played.case.values_per_channel, precision_of(played.dtype).work
    if got is None or x is None or got.shape != want.shape:
        return None
    magnitude = np.abs(x.astype(np.float64)).mean(axis=(0, *range(2, x.ndim)))
    an_ulp = played.case.new_weight * u * magnitude  # what one rounding of the mean leaves in the moving mean
    pairwise = an_ulp * (4 + np.log2(n)) + 2 * u * np.abs(want.astype(np.float64))
    one_by_one = an_ulp * n
    error = np.abs(got.astype(np.float64) - want.astype(np.float64))
    ratio = float((error / pairwise).max())
    if ratio > tuning.PAIRWISE_MARGIN and (error <= one_by_one).all():
        text = f"over {n:,} values the mean errs by {ratio:.0f} times what adding in a tree would"
        return Note("naive_summation", text)
    return None
