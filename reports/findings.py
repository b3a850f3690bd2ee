"""What is wrong with a target, and where it shows."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.record.kinds import FAULTS, ComparisonRecord, Finding, Note, TargetRecord, TargetVerdict, Verdict
from harness.record.read import Records
from reports.agreement import COLUMNS, DTYPES, WHOLE, column_of, in_order, own_first, size
from reports.companion import Companion, StandaloneScript
from reports.formats import anchor

LONGEST_NAME = 120
"""Characters of a file's name."""
SCRIPTS = "scripts"
"""The folder beside a page in which those are that are too long for it."""


@dataclass(frozen=True)
class FailingCase:
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
    script: StandaloneScript | None = None
    """Shows it without bnproof."""
    shown_in: str = ""
    """Where this case has no script of its own: one whose script shows a mistake of the target, this case's if any."""


@dataclass(frozen=True)
class TargetFindings:
    """A target that does not agree throughout, or does something worth a note."""

    target: str
    verdict: TargetVerdict
    error: str | None
    diagnosis: tuple[Finding, ...]
    notes: tuple[Note, ...]
    failures: list[FailingCase]
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
            with_scripts(target, failures(by_target[target.target]), companion),
            cases_with(by_target[target.target], Verdict.noted),
            cases_with(by_target[target.target], Verdict.known),
        )
        for target in own_first(records)
    )
    return [row for row in rows if not row.is_empty]


def failures(comparisons: Sequence[ComparisonRecord]) -> list[FailingCase]:
    """Where a target is at fault, a row a case, the worst first."""
    by_case: dict[str, list[ComparisonRecord]] = defaultdict(list)
    for comparison in comparisons:
        if comparison.counts_against:
            by_case[comparison.case].append(comparison)
    rows = [
        FailingCase(
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


def with_scripts(target: TargetRecord, rows: Sequence[FailingCase], companion: Companion) -> list[FailingCase]:
    """Each with its script, or with another case that has one."""
    rows = [
        replace(row, script=companion.script(row.worst, f"{script_name(target.target, row.case)}.npz")) for row in rows
    ]
    scripted = [row.case for row in rows if row.script]

    def instead(case: str) -> str:
        its_mistakes_first = sorted(target.diagnosis, key=lambda finding: case not in finding.cases)
        cases = (other for finding in its_mistakes_first for other in scripted if other in finding.cases)
        return next(cases, "")

    return [row if row.script else replace(row, shown_in=instead(row.case)) for row in rows]


def script_name(target: str, case: str) -> str:
    """What its file is called, without the ending: letters of any alphabet, and nothing that leads out of a folder."""
    name = anchor("script", f"{target}.{case}")
    return name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}-{zlib.crc32(name.encode()):08x}"


def cases_with(comparisons: Sequence[ComparisonRecord], verdict: Verdict) -> list[str]:
    return list(dict.fromkeys(comparison.case for comparison in comparisons if comparison.verdict is verdict))
