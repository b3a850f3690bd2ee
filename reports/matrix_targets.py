"""The matrix's list of targets: a line of verdict each, whose they are, and how many there are of what."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.record.kinds import FAULTS, LibraryFinding, OverallPair, PairVerdict, TargetRecord, TargetVerdict
from reports.formats import anchor, excerpt, listed
from reports.signs import word

OURS = "bnproof"
"""The library of our own implementations."""
DOES = {
    TargetVerdict.known: "differs only as is known",
    TargetVerdict.raised: "raises an error where a result is owed",
    TargetVerdict.crashed: "its process dies",
    TargetVerdict.timed_out: "does not answer in time",
    TargetVerdict.inconclusive: "no comparison could prove anything",
    TargetVerdict.unsupported: "supports nothing that was asked",
    TargetVerdict.not_run: "was not run",
}


@dataclass(frozen=True)
class Sameness:
    """How a target compares with each of the others."""

    agree: tuple[str, ...]
    declared: tuple[str, ...]
    differ: tuple[str, ...]
    fields: tuple[str, ...]
    """The conventions that set it apart from the declared ones."""


@dataclass(frozen=True)
class TargetRow:
    target: TargetRecord
    line: str
    """Its verdict in one line."""
    library: str
    """Empty in a ledger that does not tell, as the language is."""
    language: str
    """Without a version."""
    findings: tuple[int, ...]
    """The numbers, from 1, of the findings about it."""
    same: Sameness

    @property
    def anchor(self) -> str:
        return anchor("target", self.target.target)

    @property
    def ids(self) -> tuple[str, ...]:
        """The mistakes that were diagnosed."""
        return tuple(finding.id for finding in self.target.diagnosis)


@dataclass(frozen=True)
class Mistake:
    """A diagnosis, and who has it."""

    id: str
    targets: tuple[tuple[str, str], ...]
    """Target, and the diagnosis in words."""

    @property
    def anchor(self) -> str:
        return anchor("mistake", self.id)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(target for target, _ in self.targets)


def target_rows(
    targets: Sequence[TargetRecord], findings: Sequence[LibraryFinding], pairs: Sequence[OverallPair]
) -> list[TargetRow]:
    return [
        TargetRow(
            target=target,
            line=verdict_line(target),
            library=target.library,
            language=family(target.language),
            findings=tuple(number for number, finding in enumerate(findings, 1) if target.target in finding.targets),
            same=sameness(target.target, pairs),
        )
        for target in targets
    ]


def family(language: str) -> str:
    """A language without its version: "JavaScript, Node v22.1" is JavaScript."""
    match = re.match(r"[A-Za-z]+[+#]*", language)
    return match[0] if match else ""


def verdict_line(target: TargetRecord) -> str:
    """What a reader wants to know first."""
    if target.verdict is TargetVerdict.not_loaded:
        return f"cannot be loaded: {excerpt(target.error or '', 120)}"
    if target.verdict is TargetVerdict.agree:
        line = f"agrees in {target.counts.get('agree', 0):,} comparisons"
        return f"{line}, {target.not_judged.partition(';')[0]}" if target.not_judged else line
    ids = [finding.id for finding in target.diagnosis]
    if target.verdict is TargetVerdict.differ:
        return f"differs: {listed(ids)}" if ids else "differs"
    line = DOES.get(target.verdict, word(target.verdict))
    return f"{line}: {listed(ids)}" if ids else line


def headline(rows: Sequence[TargetRow]) -> str:
    """How many there are, from where, and what became of them."""
    libraries = {row.library for row in rows} - {"", OURS}
    languages = {row.language for row in rows} - {""}
    told = [number_of(len(rows), "target")]
    if libraries:
        told.append(f"from {number_of(len(libraries), 'library', 'libraries')}")
    if languages:
        told.append(f"in {number_of(len(languages), 'language')}")
    return f"{' '.join(told)}: {outcome(rows)}"


def outcome(rows: Sequence[TargetRow]) -> str:
    verdicts = Counter(row.target.verdict for row in rows)
    agree = verdicts[TargetVerdict.agree] + verdicts[TargetVerdict.known]
    faulty = sum(count for verdict, count in verdicts.items() if verdict in FAULTS)
    parts = [f"{agree} agree", f"{faulty} differ"]
    if rest := len(rows) - agree - faulty:
        parts.append(f"{rest} could not be judged")
    return listed(parts)


def number_of(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"


def mistakes(rows: Iterable[TargetRow]) -> list[Mistake]:
    """Every diagnosis with its targets, the most frequent first."""
    held: dict[str, list[tuple[str, str]]] = {}
    for row in rows:
        for finding in row.target.diagnosis:
            held.setdefault(finding.id, []).append((row.target.target, finding.text))
    return [Mistake(id_, tuple(has)) for id_, has in sorted(held.items(), key=lambda item: (-len(item[1]), item[0]))]


def sameness(target: str, pairs: Sequence[OverallPair]) -> Sameness:
    of_target = [pair for pair in pairs if target in (pair.a, pair.b)]

    def others(verdict: PairVerdict) -> tuple[str, ...]:
        return tuple(pair.b if pair.a == target else pair.a for pair in of_target if pair.verdict is verdict)

    declared = {name for pair in of_target if pair.verdict is PairVerdict.declared for name in pair.declared_by}
    return Sameness(
        others(PairVerdict.agree), others(PairVerdict.declared), others(PairVerdict.differ), tuple(sorted(declared))
    )
