"""A library's batch norms over its releases: which findings there were, from which release to which."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from harness.record.kinds import Header, ReleaseRecord, TargetVerdict
from harness.record.read import Records, read
from reports.formats import listed

LEDGERS = "history-*.jsonl"
"""The ledgers of `bnproof history`, in the matrix's folder."""
JUDGED = (TargetVerdict.agree, TargetVerdict.known, TargetVerdict.differ, TargetVerdict.raised)


@dataclass(frozen=True)
class Version:
    version: str
    uploaded: str


@dataclass(frozen=True)
class Life:
    """A finding of one target, over the releases."""

    id: str
    present: tuple[bool | None, ...]
    """By release; None where the target was not judged."""
    text: str
    """From when to when, in words."""


@dataclass(frozen=True)
class TargetHistory:
    target: str
    records: tuple[ReleaseRecord, ...]
    """One a release, in order."""
    lives: tuple[Life, ...]


@dataclass(frozen=True)
class LibraryHistory:
    library: str
    header: Header
    versions: tuple[Version, ...]
    targets: tuple[TargetHistory, ...]
    absent: tuple[tuple[str, str], ...]
    """Version and target that could not be judged, and the reason."""


def histories_in(folder: Path) -> list[LibraryHistory]:
    """Of every ledger of a history in `folder`. Raises LedgerError for one that is not whole."""
    read_ones = (library_history(read(path)) for path in sorted(folder.glob(LEDGERS)))
    return [history for history in read_ones if history is not None]


def library_history(records: Records) -> LibraryHistory | None:
    """None where no release was judged."""
    if not records.releases:
        return None
    versions = [*dict.fromkeys(Version(record.version, record.uploaded) for record in records.releases)]
    targets = dict.fromkeys(record.target for record in records.releases)
    return LibraryHistory(
        records.releases[0].library,
        records.header,
        tuple(versions),
        tuple(
            target_history(target, [record for record in records.releases if record.target == target])
            for target in targets
        ),
        tuple(absences(records.releases)),
    )


def absences(releases: Iterable[ReleaseRecord]) -> Iterable[tuple[str, str]]:
    """Each release with a reason, which its targets share where it could not be installed."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for record in releases:
        if record.reason:
            reasons.setdefault((record.version, record.reason), []).append(record.target)
    for (version, reason), targets in reasons.items():
        yield f"{version}, {listed(targets)}", reason


def target_history(target: str, records: Sequence[ReleaseRecord]) -> TargetHistory:
    ids = dict.fromkeys(finding.id for record in records for finding in record.diagnosis)
    return TargetHistory(target, tuple(records), tuple(life(id_, records) for id_ in ids))


def life(id_: str, records: Sequence[ReleaseRecord]) -> Life:
    present = tuple(
        any(finding.id == id_ for finding in record.diagnosis) if record.verdict in JUDGED else None
        for record in records
    )
    return Life(id_, present, "; ".join(spells(records, present)))


def spells(records: Sequence[ReleaseRecord], present: Iterable[bool | None]) -> Iterable[str]:
    """In words, each run of releases that have it: where it began and ended, as far as was judged."""
    judged = [(record.version, there) for record, there in zip(records, present, strict=True) if there is not None]
    runs = [(there, [version for version, _ in run]) for there, run in groupby(judged, lambda pair: pair[1])]
    for place, (there, versions) in enumerate(runs):
        if there:
            first, last = place == 0, place == len(runs) - 1
            began = f"in the oldest that was judged, {versions[0]}" if first else f"began with {versions[0]}"
            ended = f"still in {versions[-1]}" if last else f"gone in {runs[place + 1][1][0]}"
            yield f"{began}, {ended}"
