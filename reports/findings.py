"""What is wrong with a target, and where it shows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.record.kinds import FAULTS, ComparisonRecord, Finding, Note, TargetVerdict, Verdict
from harness.record.read import Records
from reports.agreement import COLUMNS, DTYPES, WHOLE, column_of, in_order, own_first, size
from reports.companion import LONGEST, Companion


@dataclass(frozen=True)
class Failure:
    """A case in which a target is at fault."""

    case: str
    columns: list[str]
    dtypes: list[str]
    verdicts: list[str]
    ratio: float | None
    """The largest error/bound."""
    message: str | None
    worst: ComparisonRecord
    """The comparison with the largest error/bound."""
    script: str = ""
    """Shows it without bnproof; "" where there is none that a page can hold."""


@dataclass(frozen=True)
class TargetFindings:
    """A target that does not agree throughout, or does something worth a note."""

    target: str
    verdict: TargetVerdict
    error: str | None
    diagnosis: tuple[Finding, ...]
    notes: tuple[Note, ...]
    failures: list[Failure]
    noted: list[str]
    """The policy cases in which it does otherwise than the oracle."""
    known: list[str]
    """The cases in which it differs as is known."""

    @property
    def has_messages(self) -> bool:
        return any(failure.message for failure in self.failures)

    @property
    def is_empty(self) -> bool:
        held = (self.error, self.diagnosis, self.notes, self.failures, self.noted, self.known)
        return self.verdict == Verdict.agree and not any(held)


def findings(records: Records, companion: Companion | None = None) -> list[TargetFindings]:
    """Each target with its diagnosis, notes and failures; those with nothing to say are left out."""
    companion = companion or Companion()
    by_target: dict[str, list[ComparisonRecord]] = defaultdict(list)
    for comparison in records.comparisons:
        by_target[comparison.target].append(comparison)
    rows = (
        TargetFindings(
            target.target,
            target.verdict,
            target.error,
            target.diagnosis,
            target.notes,
            [with_script(failure, companion) for failure in failures(by_target[target.target])],
            cases_with(by_target[target.target], Verdict.noted),
            cases_with(by_target[target.target], Verdict.known),
        )
        for target in own_first(records)
    )
    return [row for row in rows if not row.is_empty]


def failures(comparisons: Sequence[ComparisonRecord]) -> list[Failure]:
    """Where a target is at fault, a row a case, the worst first."""
    by_case: dict[str, list[ComparisonRecord]] = defaultdict(list)
    for comparison in comparisons:
        if comparison.counts_against:
            by_case[comparison.case].append(comparison)
    rows = [
        Failure(
            case,
            in_order(map(column_of, failing), (*COLUMNS, WHOLE)),
            in_order((comparison.dtype for comparison in failing), DTYPES),
            in_order((comparison.verdict for comparison in failing), FAULTS),
            max((comparison.ratio for comparison in failing), key=size),
            next((comparison.message for comparison in failing if comparison.message), None),
            max(failing, key=lambda comparison: size(comparison.ratio)),
        )
        for case, failing in by_case.items()
    ]
    return sorted(rows, key=lambda row: -size(row.ratio))


def with_script(failure: Failure, companion: Companion) -> Failure:
    script = companion.script(failure.worst)
    return replace(failure, script=script if len(script) <= LONGEST else "")


def cases_with(comparisons: Sequence[ComparisonRecord], verdict: Verdict) -> list[str]:
    return list(dict.fromkeys(comparison.case for comparison in comparisons if comparison.verdict is verdict))
