"""A note on accuracy: a target within its bounds whose errors are far beyond those of honest code on the same data.

This is statistics and no proof: it never decides a verdict. `usual_errors.json` is made by
`python -m tests.experiments.usual_errors`, which says what it holds.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from harness.findings import Note
from harness.judge.judgement import Judgement
from harness.judge.report import TargetReport
from harness.observables import column

USUAL_ERRORS = Path(__file__).with_name("usual_errors.json")
FAR_BEYOND = 4.0
"""How many times the 99.9th percentile of honest errors is worth a note: one honest error of a thousand is above it."""


@cache
def usual_errors() -> dict[str, dict[str, dict[str, float]]]:
    """{case: {dtype: {observable: 99.9th percentile of error/bound over honest algorithms}}}."""
    table: dict[str, dict[str, dict[str, float]]] = json.loads(USUAL_ERRORS.read_text(encoding="utf-8"))
    return table


def on_accuracy(report: TargetReport) -> list[Note]:
    """The note `less_accurate_than_usual`, with the case where it is worst; none of a target that is at fault.

    Nor of one that declares its sums: its bounds are narrower, and near to what honest code makes.
    """
    declares = report.description is not None and report.description.summation != "any"
    if declares or any(judgement.counts_against for judgement in report.judgements):
        return []
    factors = [(factor(judgement), judgement) for judgement in report.judgements]
    worst, judgement = max(factors, key=lambda pair: pair[0], default=(0.0, None))
    if worst <= FAR_BEYOND or judgement is None or judgement.observable is None:
        return []
    further = sorted({j.case for beyond, j in factors if beyond > FAR_BEYOND} - {judgement.case})
    text = (
        f"the error of {column(judgement.observable, judgement.op)} is {worst:.0f} times the 99.9th percentile of "
        f"honest algorithms' errors ({judgement.case} {judgement.dtype})"
    )
    return [Note("less_accurate_than_usual", text + (f"; so are errors in {', '.join(further)}" if further else ""))]


def factor(judgement: Judgement) -> float:
    """The error over the 99.9th percentile of honest ones; 0 where that is not known."""
    if judgement.observable is None or judgement.ratio is None:
        return 0.0
    of_case = usual_errors().get(judgement.case, {}).get(judgement.dtype, {})
    percentile = of_case.get(column(judgement.observable, judgement.op), 0.0)
    return judgement.ratio / percentile if percentile else 0.0
