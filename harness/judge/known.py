"""Known differences: a file of `case: reason` lines that do not count against a target, for as long as they differ.

Strict: an id that is no case is a usage error (exit status 2); an entry whose case was played and no longer differs for
any target fails the check (exit status 1), so that the file shrinks as the library gets better.
"""

from __future__ import annotations

import difflib
from dataclasses import replace
from pathlib import Path

from harness.cases.catalogue import BY_ID
from harness.errors import UsageError
from harness.findings import Note
from harness.judge.judgement import Reason, Verdict
from harness.judge.report import TargetReport


def read_known(path: Path) -> dict[str, str]:
    """{case: reason}; # starts a comment line. Raises UsageError that names the line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--known: cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    reasons: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        case, _, reason = (part.strip() for part in line.partition(":"))
        where = f"--known: {path}, line {number}"
        if not reason:
            raise UsageError(f"{where}: expected 'case: reason', got {line.strip()!r}")
        if case not in BY_ID:
            near = difflib.get_close_matches(case, BY_ID, n=1, cutoff=0)
            raise UsageError(f"{where}: no case is called {case!r}; did you mean {near[0]!r}?")
        if case in reasons:
            raise UsageError(f"{where}: {case!r} is listed twice")
        reasons[case] = reason
    return reasons


def excuse(report: TargetReport, known: dict[str, str]) -> set[str]:
    """Give what is listed the verdict `known`. Returns the cases that did differ. A crash or hang cannot be listed."""
    differed: set[str] = set()
    for number, judgement in enumerate(report.judgements):
        if (
            judgement.case in known
            and judgement.counts_against
            and judgement.verdict in (Verdict.differ, Verdict.raised)
        ):
            differed.add(judgement.case)
            report.judgements[number] = replace(
                judgement,
                verdict=Verdict.known,
                reason=Reason.listed_as_known,
                message=f"known: {known[judgement.case]}",
            )
    report.diagnosis = [finding for finding in report.diagnosis if not set(finding.cases) <= differed]
    report.notes += [Note("known", f"{case}: {reason}") for case, reason in known.items() if case in differed]
    return differed


def stale(reports: list[TargetReport], known: dict[str, str], differed: set[str]) -> list[str]:
    """The entries whose case some target played, and that differed for none."""
    played = {
        judgement.case
        for report in reports
        for judgement in report.judgements
        if judgement.verdict not in (Verdict.unsupported, Verdict.not_run)
    }
    return [case for case in known if case in played and case not in differed]
