"""What changed between two files of results: target by target, whether it is better, worse or other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.record.kinds import FAULTS, SEVERITY, TargetVerdict, Verdict
from harness.record.results import Comparison, Place, TargetResult
from reports.agreement import size
from reports.formats import listed, short

GOOD = (TargetVerdict.agree, TargetVerdict.known)
OPEN = (TargetVerdict.noted, TargetVerdict.inconclusive, TargetVerdict.unsupported, TargetVerdict.not_run)
FAULTY = (TargetVerdict.differ, TargetVerdict.raised)
DIED = (TargetVerdict.timed_out, TargetVerdict.crashed)
ABSENT = (TargetVerdict.not_loaded, TargetVerdict.not_installable)
RANKS = (GOOD, OPEN, FAULTY, DIED, ABSENT)
"""Verdicts on a target, the best first; those of one rank are neither better nor worse than each other."""
NOT_JUDGED = (Verdict.unsupported, Verdict.not_run)
MEASURED = (Verdict.agree, Verdict.differ)
"""Verdicts that rest on a ratio that proves something."""


class Change(StrEnum):
    worse = "worse"
    better = "better"
    other = "other"
    """Neither: another version, another note, a target that is new."""
    none = "none"


@dataclass(frozen=True)
class Moved:
    """A comparison that is a fault now and was none, or the other way round."""

    place: Place
    before: Comparison
    after: Comparison


@dataclass(frozen=True)
class TargetChange:
    """One target before and after; None where the file does not hold it."""

    target: str
    before: TargetResult | None
    after: TargetResult | None
    broken: tuple[Moved, ...] = ()
    """The comparisons that are faults now and were none, the furthest from its bound first."""
    mended: tuple[Moved, ...] = ()
    lost: int = 0
    """How many comparisons agreed and are not judged any more."""

    @property
    def change(self) -> Change:
        if self.before is None:
            return Change.other
        if self.after is None:
            return Change.worse
        ranks = rank(self.before.verdict), rank(self.after.verdict)
        if ranks[1] > ranks[0] or self.broken or self.lost or self.new_mistakes:
            return Change.worse
        if ranks[1] < ranks[0] or self.mended or self.gone_mistakes:
            return Change.better
        return Change.other if self.versions or self.new_notes or self.gone_notes else Change.none

    @property
    def new_mistakes(self) -> tuple[str, ...]:
        return missing_from(_mistakes(self.before), _mistakes(self.after))

    @property
    def gone_mistakes(self) -> tuple[str, ...]:
        return missing_from(_mistakes(self.after), _mistakes(self.before))

    @property
    def new_notes(self) -> tuple[str, ...]:
        return missing_from(_notes(self.before), _notes(self.after))

    @property
    def gone_notes(self) -> tuple[str, ...]:
        return missing_from(_notes(self.after), _notes(self.before))

    @property
    def versions(self) -> tuple[str, ...]:
        """The packages whose versions changed: "torch 2.9 → 2.10"."""
        before, after = (result.versions if result else {} for result in (self.before, self.after))
        return tuple(
            f"{name} {before[name]} → {after[name]}" for name in before if after.get(name, before[name]) != before[name]
        )

    @property
    def ratios(self) -> tuple[float | None, float | None]:
        """The largest error/bound before and after."""
        return largest_ratio(self.before), largest_ratio(self.after)

    @property
    def verdicts(self) -> str:
        """ "agree → differ", or one word where it is the same."""
        before, after = (result.verdict.value if result else "absent" for result in (self.before, self.after))
        return before if before == after else f"{before} → {after}"


@dataclass(frozen=True)
class Comparisons:
    """All targets of two files."""

    targets: tuple[TargetChange, ...]

    @property
    def is_worse(self) -> bool:
        return any(target.change is Change.worse for target in self.targets)

    @property
    def changed(self) -> list[TargetChange]:
        """What is worse first, then what is better, then what is merely other."""
        order = list(Change)
        changed = [target for target in self.targets if target.change is not Change.none]
        return sorted(changed, key=lambda target: order.index(target.change))

    @property
    def sentence(self) -> str:
        """What changed, in one sentence."""
        names = {
            change: [target.target for target in self.targets if target.change is change] for change in Change
        }  # fmt: skip
        parts = [
            f"{counted(names[change])} {'is' if len(names[change]) == 1 else 'are'} {word}"
            for change, word in ((Change.worse, "worse"), (Change.better, "better"))
            if names[change]
        ]
        same = len(names[Change.none]) + len(names[Change.other])
        if not parts:
            return f"Nothing is worse, and nothing better: {same} target{'' if same == 1 else 's'} compared."
        return f"{' and '.join(parts)}; {same} as good as before."


def compare(before: Sequence[TargetResult], after: Sequence[TargetResult]) -> Comparisons:
    """Targets are the same where their names are; the order is that of `before`, then what is new."""
    old, new = ({result.target: result for result in results} for results in (before, after))
    return Comparisons(tuple(_change(name, old.get(name), new.get(name)) for name in dict.fromkeys([*old, *new])))


def _change(target: str, before: TargetResult | None, after: TargetResult | None) -> TargetChange:
    if before is None or after is None or before.law is None or after.law is None:
        return TargetChange(target, before, after)
    lost = sum(
        comparison.verdict is Verdict.agree and after.law[place].verdict in NOT_JUDGED
        for place, comparison in before.law.items()
        if place in after.law
    )
    broken = [Moved(place, was, now) for place, now, was in faults_new_in(after.law, before.law)]
    mended = [Moved(place, was, now) for place, was, now in faults_new_in(before.law, after.law)]
    return TargetChange(target, before, after, furthest_first(broken), furthest_first(mended), lost)


def faults_new_in(
    these: dict[Place, Comparison], those: dict[Place, Comparison]
) -> Iterator[tuple[Place, Comparison, Comparison]]:
    """(place, the fault, what stands there in `those`) of each fault of `these` that is none in `those`.

    A step that raises has no observables, and stands at a place of its own: it is held against the worst of its case.
    Cases that `those` do not have are passed over.
    """
    worst: dict[tuple[str, str], Comparison] = {}
    for place, comparison in those.items():
        key = place.case, place.dtype
        worst[key] = min(worst.get(key, comparison), comparison, key=lambda each: SEVERITY.index(each.verdict))
    for place, comparison in these.items():
        other = those.get(place, worst.get((place.case, place.dtype)))
        if is_fault(comparison) and other is not None and not is_fault(other):
            yield place, comparison, other


def is_fault(comparison: Comparison) -> bool:
    return comparison.verdict in FAULTS


def furthest_first(moved: list[Moved]) -> tuple[Moved, ...]:
    return tuple(sorted(moved, key=lambda each: -max(size(each.before.ratio), size(each.after.ratio))))


def largest_ratio(result: TargetResult | None) -> float | None:
    law = result.law if result else None
    ratios = [each.ratio for each in (law or {}).values() if each.verdict in MEASURED and each.ratio is not None]
    return max(ratios, key=size, default=None)


def rank(verdict: TargetVerdict) -> int:
    return next(number for number, verdicts in enumerate(RANKS) if verdict in verdicts)


def missing_from(these: Sequence[str], those: Sequence[str]) -> tuple[str, ...]:
    """Those that are not among these, each once."""
    return tuple(dict.fromkeys(name for name in those if name not in these))


def counted(names: Sequence[str]) -> str:
    """The names of a few, the number of many."""
    return listed(names) if len(names) <= 3 else f"{len(names)} targets"


def _mistakes(result: TargetResult | None) -> tuple[str, ...]:
    return tuple(finding.id for finding in result.diagnosis) if result else ()


def _notes(result: TargetResult | None) -> tuple[str, ...]:
    return tuple(note.id for note in result.notes) if result else ()


def details(change: TargetChange, at_most: int) -> list[str]:
    """What changed about a target, a line each; of the comparisons so many at most."""
    before, after = change.before, change.after
    if before is None:
        return ["is new"]
    if after is None:
        return ["is not there any more"]
    lines = []
    if after.error and after.error != before.error:
        lines.append(after.error)
    texts = {finding.id: finding.text for result in (before, after) for finding in result.diagnosis}
    lines += [f"{name}: {texts[name]}" for name in change.new_mistakes]
    lines += [f"no longer {name}" for name in change.gone_mistakes]
    lines += few([moved_line(each) for each in change.broken], at_most, "comparisons that differ now")
    lines += few([moved_line(each) for each in change.mended], at_most, "comparisons that differed")
    if change.lost:
        lines.append(f"{change.lost:,} comparison{'' if change.lost == 1 else 's'} that agreed: no longer judged")
    lines += [f"new note: {name}" for name in change.new_notes]
    lines += [f"no longer noted: {name}" for name in change.gone_notes]
    return lines


def few(lines: list[str], at_most: int, what: str) -> list[str]:
    rest = len(lines) - at_most
    return lines if rest <= 0 else [*lines[:at_most], f"and {rest:,} more {what}"]


def moved_line(moved: Moved) -> str:
    """ "large_mean in float32, y: agree (0.5 bounds) → differ (3×10⁷ bounds)" """
    place = moved.place
    step = "" if place.step < 0 else f", step {place.step}"
    what = f", {place.column}" if place.column else ""
    case = place.case or "worst case"
    return f"{case} in {place.dtype}{step}{what}: {verdict_line(moved.before)} → {verdict_line(moved.after)}"


def verdict_line(comparison: Comparison) -> str:
    if comparison.ratio is None:
        return comparison.verdict.value
    return f"{comparison.verdict.value} ({short(comparison.ratio)} bounds)"
