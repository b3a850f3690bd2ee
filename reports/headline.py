"""What the report says first: whether our own are right, and what became of the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.record.kinds import PairVerdict, TargetRecord, Verdict
from harness.record.read import Records
from reports.agreement import own_first
from reports.formats import listed
from reports.lockstep import LockstepRow
from reports.signs import word
from reports.training import TrainingRow

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
FAULT_WORDS = {
    "differ": "differs from the oracle",
    "raised": "raises where a result is owed",
    "crashed": "crashes",
    "timed_out": "does not come to an end",
    "known": "differs from the oracle as is known",
    "inconclusive": "could not be judged",
    "unsupported": "supports nothing that was asked",
    "not_run": "was not run",
    "not_loaded": "could not be loaded",
    "not_installable": "could not be installed",
}


@dataclass(frozen=True)
class Headline:
    """Whether our own are right, in a sentence; what is wrong or missing, a line each."""

    text: str
    lines: tuple[str, ...]
    level: str
    """ "good", "bad" or "open" """


def headline(
    records: Records, lockstep: Sequence[LockstepRow], trainings: Sequence[TrainingRow], finished: bool
) -> Headline:
    """finished: whether the run has ended; what is absent until then is still to come."""
    own = records.header.own
    checked = [target.target for target in records.targets if target.target in own]
    missing = [name for name in own if name not in checked]
    faults = own_faults(records, lockstep, trainings)
    lines = list(faults)
    if missing and checked:
        lines.append(f"Not checked {'here' if finished else 'yet'}: {listed(missing)}.")
    if not checked and not finished:
        return Headline("Nothing is checked yet.", tuple(lines), "open")
    if not checked:
        return Headline("None of our own implementations was checked.", tuple(lines), "bad")
    if faults:
        return Headline(f"Something of ours is wrong: {faults[0]}", tuple(lines), "bad")
    return Headline(all_agree(records, checked, missing, finished), tuple(lines), "open" if missing else "good")


def all_agree(records: Records, checked: Sequence[str], missing: Sequence[str], finished: bool) -> str:
    several = len(checked) > 1
    number = NUMBERS[len(checked)] if len(checked) < len(NUMBERS) else str(len(checked))
    which = f"{number} own implementation{'s' if several else ''}"
    if missing:
        which += " checked here" if finished else " checked so far"
    text = f"All {which}" if several and not missing else f"The {which}"
    text += f" agree{'' if several else 's'} with the oracle in every case"
    verdicts = [pair.verdict for pair in records.pairs if {pair.a, pair.b} <= set(records.header.own)]
    if verdicts:
        text += " and with each other"
        text += " but for their declared conventions" if PairVerdict.declared in verdicts else ""
    return f"{text}."


def own_faults(
    records: Records, lockstep: Sequence[LockstepRow], trainings: Sequence[TrainingRow]
) -> list[str]:  # fmt: skip
    """All that is wrong with our own implementations, a sentence each."""
    own = set(records.header.own)
    lines = [
        f"{target.target} {FAULT_WORDS.get(target.verdict, target.verdict)}."
        for target in own_first(records)
        if target.target in own and (target.verdict != Verdict.agree or target.error)
    ]
    differing = ((pair.a, pair.b) for pair in records.pairs if pair.verdict is PairVerdict.differ)
    lines += [f"{a} and {b} differ by more than their bounds." for a, b in dict.fromkeys(differing) if {a, b} <= own]
    for row in lockstep:
        if not row.within:
            record = row.record
            lines.append(
                f"{record.a} and {record.b} part ways in lockstep ({record.tensor} is further apart than "
                f"{record.allowed:g} times what relabelling does)."
            )
    for training in trainings:
        if training.out_of_range:
            lines.append(
                f"{training.run.implementation} ends its training outside the range of a correct run "
                f"({listed(training.out_of_range)})."
            )
    return lines


def others(records: Records) -> str:
    """What became of the layers that are not ours, in a sentence."""
    by_verdict: dict[str, list[TargetRecord]] = {}
    for target in records.targets:
        if target.target not in records.header.own:
            by_verdict.setdefault(target.verdict, []).append(target)
    parts = [
        f"{listed(target.target for target in targets)} {verb(verdict, len(targets))}"
        for verdict, targets in by_verdict.items()
    ]
    return f"Of the other layers, {'; '.join(parts)}." if parts else ""


def verb(verdict: str, how_many: int) -> str:
    """ "differ" of several, "differs" of one; what is no verb stands in brackets."""
    if verdict in ("agree", "differ"):
        return verdict + ("s" if how_many == 1 else "")
    return f"({word(verdict)})"
