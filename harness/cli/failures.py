"""Failures in words: which number is off by how much, and the command that shows it again."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from harness.cli.request import SECONDS, CheckRequest
from harness.judge.judgement import Judgement
from harness.judge.report import TargetReport, worst_of_each_case
from harness.targets.through.names import split_through

SHOWN = 5
FEWEST_DIGITS, MOST_DIGITS = 9, 17
"""17 digits tell any two numbers of float64 apart."""


def failure_lines(report: TargetReport, request: CheckRequest) -> list[str]:
    """A line for the worst of each case and dtype, so many at most, then how to see these cases again."""
    worst = worst_of_each_case(report.judgements)
    if not worst:
        return []
    lines = [failure_line(judgement) for judgement in worst[:SHOWN]]
    if len(worst) > SHOWN:
        lines.append(f"and {len(worst) - SHOWN} more; --json FILE has every comparison")
    case_ids = dict.fromkeys(judgement.case for judgement in worst[:SHOWN])
    return [*lines, f"again: {command(report.target, [*case_ids], request)}"]


def failure_line(judgement: Judgement) -> str:
    """Where it is, and what came instead of what."""
    step = "" if judgement.step is None else f", step {judgement.step} ({judgement.op})"
    return f"{judgement.case} in {judgement.dtype}{step}: {difference(judgement)}"


def difference(judgement: Judgement) -> str:
    """The number that is furthest beyond its bound, how many are, and the greatest difference of all."""
    if judgement.ratio is None or judgement.got is None or judgement.want is None:
        return f"{judgement.verdict}: {judgement.message}"
    got, want = distinct(judgement.got, judgement.want)
    largest = "" if judgement.largest_error is None else f", the greatest difference {judgement.largest_error:.3g}"
    return (
        f"{judgement.observable}{judgement.index} is {got}, not {want}: {judgement.ratio:.3g} bounds away; "
        f"{judgement.beyond} of {judgement.elements} elements are beyond their bounds{largest}"
    )


def distinct(a: float, b: float) -> tuple[str, str]:
    """Both numbers, with as many digits as it takes to tell them apart."""
    for digits in range(FEWEST_DIGITS, MOST_DIGITS + 1):
        shown = f"{a:.{digits}g}", f"{b:.{digits}g}"
        if shown[0] != shown[1]:
            return shown
    return f"{a:.{MOST_DIGITS}g}", "quite that"


def command(target: str, case_ids: Sequence[str], request: CheckRequest) -> str:
    """The line that plays these cases again, for a shell. target: the name of its report."""
    whole, transformation = split_through(target)
    words = ["bnproof", "check", whole]
    if request.layer:
        words[-1] = whole.removesuffix(f"#{request.layer}")
        words += ["--layer", request.layer]
    if transformation:
        words += ["--through", transformation]
    if request.as_preset:
        words += ["--as", request.as_preset]
    if request.input_file:
        words += ["--input", str(request.input_file)]
    else:
        words += [word for case_id in case_ids for word in ("--case", case_id)]
    if request.python:
        words += ["--python", request.python]
    if request.threads is not None:
        words += ["--threads", str(request.threads)]
    words += ["--seed", str(request.seed)]
    if request.timeout != SECONDS:
        words += ["--timeout", f"{request.timeout:g}"]
    return shlex.join(words)
