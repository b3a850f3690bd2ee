"""Where a deviation that nothing explains shows: in which results, from which step, in which cases; and its size."""

from __future__ import annotations

from harness.diagnose.conditions import case_conditions, first_wrong_step
from harness.diagnose.deviations import constant_factor, deviations, wrong_columns
from harness.judge.judgement import Judgement
from harness.judge.report import PlayedCase
from harness.observables import column

CONDITIONS_LISTED = 2


def where(failed: list[Judgement], played: list[PlayedCase]) -> str:
    """A few words for each thing that the failures have in common, parted by semicolons."""
    wrong = {(judgement.case, judgement.dtype) for judgement in failed}
    failing = [case for case in played if (case.case.id, case.dtype) in wrong]
    if not failing:
        return ""
    pieces = [
        observables(failed),
        f"in {len(failing)} of {len(played)} plays",
        *conditions(failing, played),
        start(failing),
        size(failing),
    ]
    if all(result.op == "eval" or not result.values for case in played for result in case.observation.steps):
        pieces.append("judged in prediction only, which shows little")
    return "; ".join(piece for piece in pieces if piece)


def observables(failed: list[Judgement]) -> str:
    names = [column(judgement.observable, judgement.op) for judgement in failed if judgement.observable]
    return f"wrong are {', '.join(dict.fromkeys(names))}" if names else ""


def conditions(failing: list[PlayedCase], played: list[PlayedCase]) -> list[str]:
    return [condition.text for condition in case_conditions(failing, played)][:CONDITIONS_LISTED]


def start(failing: list[PlayedCase]) -> str:
    """After a restoration only, or from which step on."""
    firsts = [(case, first_wrong_step(case)) for case in failing]
    known = [(case, step) for case, step in firsts if step is not None]
    if not known:
        return ""
    if all(any(before.restores for before in case.script.steps[: step + 1]) for case, step in known):
        return "after restoring only"
    earliest = min(step for _, step in known)
    return f"from step {earliest + 1} on" if earliest else ""


def size(failing: list[PlayedCase]) -> str:
    """By a constant factor, or how large the deviations are relative to the values."""
    pieces = []
    for name, of_column in wrong_columns(deviations(failing)).items():
        factor = constant_factor(of_column)
        if factor == -1:
            pieces.append(f"{name} has the wrong sign")
        elif factor is not None:
            pieces.append(f"{name} is {factor:.9g} times what it should be")
        else:
            pieces.append(f"{name} is off by up to {max(d.relative for d in of_column):.2g} of its size")
    return ", ".join(pieces)
