"""Is a target deterministic? What it gave while it warmed up is compared with what it gave when it was judged."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from harness.findings import Note
from harness.judge.judge import judge
from harness.judge.report import PlayedCase, TargetReport, failing
from harness.targets.player import Observation, same_bits


def on_playing_twice(report: TargetReport) -> list[Note]:
    """A note where new layers, given the same calls, gave other results. The second play is the one that is judged.

    Other digits are no fault (sums on a GPU or by several threads come in any order); a first call that is wrong is.
    """
    twice = [played for played in report.played if played.observation.first is not None]
    for played in twice:
        wrong = first_call_is_wrong(played)
        if wrong:
            return [Note("not_deterministic", f"only the first call is wrong: {wrong}")]
    differences = [difference for played in twice for difference in differences_of(played)]
    if differences:
        _, text = max(differences)
        return [Note("not_deterministic", f"the same calls on two new layers give different results: {text}")]
    return []


def first_call_is_wrong(played: PlayedCase) -> str:
    """Where the first play fails a case that the second passes; "" where it does not."""
    first = played.observation.first
    if first is None or failing(played.judgements):
        return ""
    failed = failing(judge(played.case, played.script, played.expected, first))
    if not failed:
        return ""
    what = failed[0].observable or failed[0].message or failed[0].reason.value
    return f"{what} in {failed[0].op or 'building'} of {played.case.id}, {played.dtype}"


def differences_of(played: PlayedCase) -> Iterator[tuple[float, str]]:
    """(size, words) of each array that came out in two ways: the size is relative to the largest value."""
    first = played.observation.first
    assert first is not None
    where = f"{played.case.id}, {played.dtype}"
    if kinds_of_results(first) != kinds_of_results(played.observation):
        yield np.inf, f"what is returned or raised, in {where}"
        return
    for before, after in zip(first.steps, played.observation.steps, strict=True):
        for name, value in after.values.items():
            if not same_bits(before.values[name], value):
                share = relative_difference(before.values[name], value)
                yield share, f"{name} by up to {share:.2g} of its size, in {where}"


def kinds_of_results(observation: Observation) -> list[object]:
    """All but the numbers: which steps were made, the names and shapes of what they gave, and whether they raised.

    What an exception says is no result: it may hold an address, a time, or the line of the input (Perl's does).
    """
    steps = []
    for step in observation.steps:
        shapes = [(name, value.shape) for name, value in step.values.items()]
        steps.append((step.op, bool(step.error), bool(step.unsupported), shapes))
    return [bool(observation.build_error), bool(observation.build_unsupported), *steps]


def relative_difference(a: np.ndarray, b: np.ndarray) -> float:
    """max |a - b| / max |b|, b's finite values; infinite where one of the two alone is not finite."""
    with np.errstate(all="ignore"):
        a, b = a.astype(np.float64), b.astype(np.float64)
        difference = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.abs(a - b))
        share = float(difference.max(initial=0.0) / (np.abs(b[np.isfinite(b)]).max(initial=0.0) or 1.0))
    return share if np.isfinite(share) else float("inf")
