"""Results as they are read back: the targets of a ledger, or of what `bnproof check --json` wrote."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UsageError
from harness.findings import Finding, Note
from harness.judge.judgement import Kind, Verdict
from harness.observables import OBSERVABLES, column
from harness.record.kinds import ComparisonRecord, JudgementOn, TargetVerdict
from harness.record.ledger import SCHEMA
from harness.record.outputs import CheckOutput
from harness.record.read import Records, converter, loads, read, read_lines


@dataclass(frozen=True, order=True)
class Place:
    """What was compared."""

    case: str
    dtype: str
    step: int
    """-1 where it is no step, but the whole case."""
    column: str
    """The observable and the mode, as tables head their columns; "" for a whole step."""


@dataclass(frozen=True)
class Comparison:
    verdict: Verdict
    ratio: float | None
    """error/bound"""
    message: str


@dataclass(frozen=True)
class TargetResult:
    """One target: its verdict, and what that rests on."""

    target: str
    verdict: TargetVerdict
    versions: dict[str, str]
    library: str = ""
    """The package that is meant; "" where there is none, or several may be."""
    error: str = ""
    """Why it could not be loaded."""
    diagnosis: tuple[Finding, ...] = ()
    notes: tuple[Note, ...] = ()
    law: dict[Place, Comparison] | None = None
    """The comparisons that make its verdict; None where the file does not hold them."""


def results_in(path: Path) -> list[TargetResult]:
    """The targets of a ledger (of a report, a matrix or a history) or of `bnproof check --json`. Raises UsageError."""
    text = "".join(read_lines(path))
    try:
        content = loads(text)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict) or content.get("type") == "header":
        return [*of_ledger(read(path))]
    if content.get("schema") != SCHEMA or "targets" not in content:
        raise UsageError(f"{path} is neither a ledger nor what `bnproof check --json` wrote, schema {SCHEMA}")
    output: CheckOutput = converter()(content, CheckOutput, f"{path}")
    return [
        TargetResult(
            target.target,
            target.verdict,
            target.versions,
            target.library,
            target.error or "",
            target.diagnosis,
            target.notes,
            by_place(target.cases),
        )
        for target in output.targets
    ]


def of_ledger(records: Records) -> Iterator[TargetResult]:
    """The targets in the order of their records; of a history, each release of each target."""
    by_target: dict[str, list[ComparisonRecord]] = defaultdict(list)
    for comparison in records.comparisons:
        by_target[comparison.target].append(comparison)
    worst: dict[str, dict[Place, Comparison]] = defaultdict(dict)
    for cell in records.cells:  # a matrix keeps the worst comparison of each observable alone
        place = Place("", cell.dtype, -1, cell.observable)
        worst[cell.target][place] = Comparison(cell.verdict, cell.ratio, cell.message or "")
    for target in records.targets:
        yield TargetResult(
            target.target,
            target.verdict,
            target.versions,
            target.library,
            target.error or "",
            target.diagnosis,
            target.notes,
            by_place(by_target[target.target]) or worst.get(target.target),
        )
    for release in records.releases:
        name = f"{release.target} of {release.library} {release.version}"
        yield TargetResult(
            name,
            release.verdict,
            release.versions,
            release.library,
            release.reason,
            release.diagnosis,
            release.notes,
        )


def by_place(judgements: tuple[JudgementOn, ...] | list[ComparisonRecord]) -> dict[Place, Comparison]:
    """Those of law, by what they compare."""
    return {
        Place(
            judgement.case,
            judgement.dtype,
            -1 if judgement.step is None else judgement.step,
            column(judgement.observable, judgement.op) if judgement.observable in OBSERVABLES else "",
        ): Comparison(judgement.verdict, judgement.ratio, judgement.message or "")
        for judgement in judgements
        if judgement.kind is Kind.law
    }
