"""Policy: behaviour in which honest implementations differ. It is told, and never counts against a target."""

from __future__ import annotations

import numpy as np

from harness.diagnose import tuning
from harness.findings import Note
from harness.judge.judgement import Verdict
from harness.judge.report import PlayedCase, TargetReport


def notes_on(report: TargetReport) -> list[Note]:
    """What the policy cases showed, one note an id and behaviour."""
    found: list[Note] = []
    by_case = {(one.case.id, one.dtype): one for one in report.played}
    found += _empty_batch(by_case)
    found += _bad_values(by_case)
    found += _noted(report, "near_overflow", "overflow", "squares that overflow change the result")
    found += _noted(report, "near_underflow", "underflow", "squares that underflow change the result")
    found += _noted(report, "momentum_zero", "momentum_extreme", "a new batch that weighs 0 is not taken literally")
    found += _noted(report, "momentum_one", "momentum_extreme", "an old value that weighs 0 is not taken literally")
    found += _many_values(by_case)
    return found


def _noted(report: TargetReport, case: str, identity: str, text: str) -> list[Note]:
    mine = [j for j in report.judgements if j.case == case and j.verdict is Verdict.noted]
    if not mine:
        return []
    raised = next((j.message for j in mine if j.observable is None), None)
    names = sorted({j.observable for j in mine if j.observable})
    return [Note(identity, text + (f": {raised}" if raised else f" ({', '.join(names)})"))]


def _empty_batch(played: dict[tuple[str, str], PlayedCase]) -> list[Note]:
    for (case, _), one in played.items():
        if case != "empty_batch":
            continue
        for step, setup in zip(one.observation.steps[:1], one.script.setups, strict=False):
            if step.error:
                return [Note("empty_batch_wrong", f"an empty batch raises {step.error}")]
            mean, var = (step.values.get(name) for name in ("moving_mean", "moving_var"))
            if any(value is not None and not np.isfinite(value.astype(np.float64)).all() for value in (mean, var)):
                return [Note("empty_batch_wrong", "an empty batch turns the moving statistics to NaN")]
            kept = setup.moving_mean, setup.moving_var
            for value, before in zip((mean, var), kept, strict=True):
                if value is not None and not np.array_equal(value, before):
                    return [Note("empty_batch_wrong", "an empty batch moves the moving statistics")]
    return []


def _bad_values(played: dict[tuple[str, str], PlayedCase]) -> list[Note]:
    """What NaN and Inf do in their own channel."""
    for (case, _), one in played.items():
        if case == "nan_in_one_channel":
            for step in one.observation.steps:
                var = step.values.get("moving_var")
                if step.op != "train" or var is None or var.ndim != 1:
                    continue
                if np.isnan(var.astype(np.float64)[1]):
                    return [Note("nan_kept", "a NaN stays in its channel's moving statistics for good")]
                else:
                    return [Note("nan_dropped", "a NaN does not reach its channel's moving statistics")]
    return []


def _many_values(played: dict[tuple[str, str], PlayedCase]) -> list[Note]:
    """Naive summation: the mean of 65,536 values errs by more than a tree of additions could."""
    for (case, _), one in played.items():
        if case != "many_values" or not one.observation.steps:
            continue
        got = one.observation.steps[0].values.get("moving_mean")
        want = one.expected[0].values["moving_mean"] if one.expected else None
        x = one.script.steps[0].x
        if got is None or want is None or x is None or got.shape != want.shape:
            return []
        magnitude = np.abs(x.astype(np.float64)).mean(axis=(0, *range(2, x.ndim)))
        pairwise = one.case.new_weight * 2.0**-24 * magnitude * (4 + np.log2(one.case.values_per_channel))
        pairwise += 2.0**-23 * np.abs(want.astype(np.float64))
        naive = one.case.new_weight * 2.0**-24 * magnitude * one.case.values_per_channel  # the worst of one by one
        error = np.abs(got.astype(np.float64) - want.astype(np.float64))
        share = float((error / pairwise).max())
        if share > tuning.PAIRWISE_MARGIN and (error <= naive).all():
            text = f"over 65,536 values the mean errs by {share:.0f} times what adding in a tree would"
            return [Note("naive_summation", text)]
    return []
