"""Where a deviation that nothing explains shows: in which results, from which step, in which cases; and its size."""

from __future__ import annotations

from harness.diagnose.conditions import case_conditions, first_wrong_step
from harness.diagnose.deviations import Deviation, constant_factor, deviations, wrong_columns
from harness.diagnose.pattern import of_channels, of_zeros
from harness.judge.judgement import Judgement, Verdict
from harness.judge.report import PlayedCase
from harness.observables import column

CONDITIONS_LISTED = 2


def where(failed: list[Judgement], played: list[PlayedCase]) -> str:
    """A few words for each thing that the failures have in common, parted by semicolons."""
    wrong = {(judgement.case, judgement.dtype) for judgement in failed}
    failing = [case for case in played if (case.case.id, case.dtype) in wrong]
    if not failing:
        return ""
    telling = [case for case in played if (case.case.id, case.dtype) in wrong or shows(case, failed)]
    of_columns = wrong_columns(deviations(failing))
    pieces = [
        observables(failed),
        f"in {len(failing)} of {len(played)} plays",
        *conditions(failing, telling),
        start(failing),
        of_channels([deviation for of_column in of_columns.values() for deviation in of_column]),
        size(of_columns),
    ]
    if all(result.op == "eval" or not result.values for case in played for result in case.observation.steps):
        pieces.append("judged in prediction only, which shows little")
    return "; ".join(piece for piece in pieces if piece)


def observables(failed: list[Judgement]) -> str:
    names = [column(judgement.observable, judgement.op) for judgement in failed if judgement.observable]
    return f"wrong are {', '.join(dict.fromkeys(names))}" if names else ""


def shows(case: PlayedCase, failed: list[Judgement]) -> bool:
    """Whether what is wrong in another play is wrong or proved right in this one: of the rest it shows nothing."""
    wrong = {(judgement.op, judgement.observable) for judgement in failed}
    told = [each for each in case.judgements if each.counts_against or each.verdict == Verdict.agree]
    return any((each.op, each.observable) in wrong for each in told)


def conditions(failing: list[PlayedCase], played: list[PlayedCase]) -> list[str]:
    found = [condition.text for condition in case_conditions(failing, played) if not condition.by_many_numbers]
    return found[:CONDITIONS_LISTED]


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


def size(of_columns: dict[str, list[Deviation]]) -> str:
    """By a constant factor, or how large the deviations are relative to the values."""
    pieces = []
    for name, of_column in of_columns.items():
        factor, zeros = constant_factor(of_column), of_zeros(of_column)
        if zeros:
            pieces.append(f"{name} is {zeros}")
        elif factor == -1:
            pieces.append(f"{name} has the wrong sign")
        elif factor is not None:
            pieces.append(f"{name} is {factor:.9g} times what it should be")
        else:
            pieces.append(f"{name} is off by up to {max(d.relative for d in of_column):.2g} of its size")
    return ", ".join(pieces)
