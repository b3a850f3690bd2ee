"""Which known mistake explains this? Never a guess: a mistake is named only if it explains every law observable.

In this order, the first class that succeeds: a fixed mistake; a mistake with one fitted number, which must hold over
two cases; rounding mistakes by envelope; two fixed mistakes; a fixed mistake and one of rounding. None: `unexplained`.
Ties inside a class are listed together. What is a yes or no (a modified input, a wrong shape) is set aside first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

from harness import envelopes, fitted
from harness.check import Played, TargetReport
from harness.mistakes.axes import GROUPINGS
from harness.mistakes.known import KNOWN, TEXTS, Known
from harness.oracle import OracleLayer, expect
from harness.replay import could_be_both, departures, do_not_meet, fits, observed
from harness.verdict import CRASHED, DIFFER, RAISED, TIMED_OUT, Judgement
from reference.conventions import Conventions

Finding = dict[str, Any]
SIXTEEN_BITS = ("bfloat16", "float16")
SINGLE_VALUE = "one_value"
"""How the ids of the cases with one value per channel begin: they are judged on their own."""
TELLING = 3
"""Of how many cases the places where mistakes show are compared, before pairs of mistakes are replayed."""


@dataclass(frozen=True)
class Suspect:
    """Classes to stack over the oracle, and the ids that they stand for."""

    ids: tuple[str, ...]
    classes: tuple[type[OracleLayer], ...]
    detail: str = ""
    envelope: envelopes.Envelope | None = None

    @property
    def layer(self) -> type[OracleLayer]:
        return self.classes[0] if len(self.classes) == 1 else type("Stacked", self.classes, {})


@dataclass
class Evidence:
    """The cases to explain, the worst failures first: a wrong suspect is dismissed by the first it does not fit."""

    played: list[Played]
    conventions: Conventions
    failing: list[Played] = field(default_factory=list)
    """Those that the oracle does not explain, even within the slack that a mistake is given."""
    _widened: dict[int, Played] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.played.sort(key=lambda one: -_worst(one))
        self.failing = [one for one in self.played if not fits(OracleLayer, one, self.conventions)]

    def in_any_mode(self, one: Played) -> Played:
        """The case with the bounds of a target that may take one mode for the other."""
        if id(one) not in self._widened:
            self._widened[id(one)] = replace(one, expected=expect(one.script, self.conventions, any_mode=True))
        return self._widened[id(one)]

    def fits(self, suspect: Suspect, one: Played) -> bool:
        if suspect.envelope:
            return fits(suspect.layer, next(iter(suspect.envelope.around([one]))), self.conventions, strict=True)
        return fits(suspect.layer, self.in_any_mode(one), self.conventions)

    def explained_by(self, suspect: Suspect) -> bool:
        """Everything fits, and some failure is matched by a number rather than by an exception on both sides."""
        return all(self.fits(suspect, one) for one in self.played) and any(
            one.seen.steps and one.seen.steps[0].error is None for one in self.failing
        )

    def without(self, unwanted: Iterable[Played]) -> Evidence:
        drop = {id(one) for one in unwanted}
        return Evidence([one for one in self.played if id(one) not in drop], self.conventions)


def _worst(one: Played) -> float:
    """The largest ratio among the failures of a case. What is not finite, or raised, tells little: it comes last."""
    ratios = [j.ratio for j in one.judgements if j.counts_against and j.ratio is not None]
    finite = [ratio for ratio in ratios if ratio < float("inf")]
    return max(finite) if finite else (0.5 if any(j.counts_against for j in one.judgements) else 0.0)


def diagnose(report: TargetReport) -> list[Finding]:
    """The findings of a target: {"id", "text", "cases"}. Empty where no law judgement failed."""
    failed = [one for one in report.judgements if one.counts_against]
    findings, failed = set_aside(failed)
    failed = [one for one in failed if one.verdict in (DIFFER, RAISED)]
    if not failed:
        return findings
    assert report.conventions is not None
    settled = {one["id"]: one["cases"] for one in findings}
    for sixteen_bits in (False, True):  # what 16 bits do to a sum is another matter than what a formula does
        mine = [one for one in failed if (one.dtype in SIXTEEN_BITS) is sixteen_bits]
        played = [one for one in report.played if (one.dtype in SIXTEEN_BITS) is sixteen_bits]
        if mine:
            _add(findings, explain(played, mine, report.conventions, settled, findings))
    if any(one["id"] == "wrong_axis" for one in findings):  # a result of another shape is what that leads to
        findings = [one for one in findings if one["id"] != "wrong_form"]
    return findings


def _add(findings: list[Finding], more: list[Finding]) -> None:
    """One finding an id; of several explanations by 16 bits, those that the other dtypes gave already are enough."""
    known = {one["id"]: one for one in findings}
    again = [one for one in more if one["id"] in known]
    for one in again:
        known[one["id"]]["cases"] = list(dict.fromkeys(known[one["id"]]["cases"] + one["cases"]))
    if not again:
        findings += more


def set_aside(failed: list[Judgement]) -> tuple[list[Finding], list[Judgement]]:
    """The yes-or-no findings, and the failures that are left to explain."""
    rest: list[Judgement] = []
    kinds: dict[str, list[Judgement]] = {}
    for one in failed:
        kind = yes_or_no(one)
        if kind is None:
            rest.append(one)
        else:
            kinds.setdefault(kind, []).append(one)
    return [finding(kind, ones) for kind, ones in kinds.items()], rest


def yes_or_no(one: Judgement) -> str | None:
    """The id of a failure that needs no replaying."""
    if one.verdict in (CRASHED, TIMED_OUT):
        return None
    message = one.message or ""
    if "was modified" in message or (one.case == "read_only_input" and "read-only" in message):
        return "input_mutated"
    if message.startswith(("expected shape", "expected dtype", "expected a", "unknown name")):
        return "wrong_form"
    if one.verdict == RAISED and one.op == "restore":
        return "state_not_saved"
    return None


def explain(
    played: list[Played],
    failed: list[Judgement],
    conventions: Conventions,
    settled: dict[str, list[str]] | None = None,
    earlier: list[Finding] | None = None,
) -> list[Finding]:
    """The simplest class of mistakes that explains every law observable of every case."""
    law = [one for one in played if one.case.policy != "all" and not _raised_and_settled(one, settled or {})]
    evidence = Evidence([one for one in law if not one.case.id.startswith(SINGLE_VALUE)], conventions)
    single_value = [one for one in failed if one.case.startswith(SINGLE_VALUE)]
    others = [one for one in failed if not one.case.startswith(SINGLE_VALUE)]
    if not others:
        return [finding("single_value_wrong", single_value)]
    found, stray = _search(evidence, others), []
    raised = [one for one in evidence.played if _raises(one)]
    if not found and raised and len(raised) < len(evidence.failing):
        evidence = evidence.without(raised)
        stray = [one for one in others if one.verdict == RAISED]
        found = _search(evidence, [one for one in others if one.verdict != RAISED])
    if not found:
        lost = all((one.message or "").startswith("not finite") for one in others)
        return [finding("non_finite_output" if lost else "unexplained", failed)]
    known = {one["id"] for one in earlier or []}
    if known:  # what explained the wider dtypes and explains these as well is enough
        found = [one for one in found if set(one.ids) <= known] or found
    findings = _findings(found, evidence, [one for one in others if one not in stray])
    wrong = {(one.case, one.dtype) for one in single_value}
    single = [one for one in law if (one.case.id, one.dtype) in wrong]
    if single_value and not _covers_single_value(found, evidence, single, single_value):
        findings.append(finding("single_value_wrong", single_value))
    if stray and not any(one["id"] == "wrong_axis" for one in findings):  # wrong axes may fit no shape
        findings.append(finding("unexplained", stray))
    return findings


def _raises(one: Played) -> bool:
    return bool(one.seen.build_error) or any(step.error for step in one.seen.steps)


def _raised_and_settled(one: Played, settled: dict[str, list[str]]) -> bool:
    """An exception that is a finding by itself leaves nothing to replay."""
    return _raises(one) and any(one.case.id in cases for cases in settled.values())


def _search(evidence: Evidence, failed: list[Judgement]) -> list[Suspect]:
    """The first class of explanations that succeeds; all of that class."""
    if not evidence.failing:
        return []
    singles = [suspect for known in KNOWN if known.applies(evidence.conventions) for suspect in suspects(known)]
    if not any(step.op == "train_no_grad" and step.values for one in evidence.played for step in one.seen.steps):
        singles = [one for one in singles if one.ids != ("mode_follows_grad",)]
    enveloped = envelopes.envelopes(evidence.conventions)
    for candidates in (
        lambda: simplest([one for one in singles if evidence.explained_by(one)]),
        lambda: by_grouping(evidence, failed),
        lambda: by_number(evidence),
        lambda: by_envelope(enveloped, evidence),
        lambda: pairs(singles, evidence),
        lambda: with_fast_variance(singles, enveloped, evidence),
    ):
        found = list(candidates())
        if found:
            return found
    return []


def simplest(found: list[Suspect]) -> list[Suspect]:
    """What makes two mistakes at once, and so stands under two ids, gives way to what makes one of them."""
    ids: dict[type[OracleLayer], set[str]] = {}
    for known in KNOWN:
        for variant in known.variants:
            ids.setdefault(variant, set()).add(known.id)
    return [one for one in found if len(ids[one.classes[0]]) == 1] or found


def suspects(known: Known) -> Iterable[Suspect]:
    return (Suspect((known.id,), (variant,)) for variant in known.variants)


def by_grouping(evidence: Evidence, failed: list[Judgement]) -> Iterable[Suspect]:
    """Wrong axes, by y alone: what such a layer averages into C moving values, nobody can foretell."""
    wrong = [one for one in evidence.failing if any(
        j.observable == "y" and j.op == "train" and j.counts_against for j in one.judgements)]  # fmt: skip
    if len({one.case.id for one in wrong}) < 2 or not failed:
        return
    for layer in GROUPINGS:
        if all(fits(layer, evidence.in_any_mode(one), evidence.conventions, ("train", "y")) for one in evidence.played):
            yield Suspect(("wrong_axis",), (layer,))


def by_number(evidence: Evidence) -> Iterable[Suspect]:
    widened = [evidence.in_any_mode(one) for one in evidence.played]
    failing = [evidence.in_any_mode(one) for one in evidence.failing]
    for one in fitted.explanations(widened, failing, evidence.conventions):
        yield Suspect((one.id,), (one.layer,), one.detail)


def by_envelope(enveloped: list[envelopes.Envelope], evidence: Evidence) -> Iterable[Suspect]:
    """The first envelope that holds everything: those that follow are wider."""
    for envelope in enveloped:
        suspect = Suspect((envelope.id,), (OracleLayer,), envelope.detail, envelope)
        if evidence.explained_by(suspect) and (
            not envelope.must_be_of_its_size or envelopes.of_its_size(envelope.around(evidence.failing))
        ):
            yield suspect
            return


def pairs(singles: list[Suspect], evidence: Evidence) -> list[Suspect]:
    """Two fixed mistakes of different ids that together explain everything: first those that keep to themselves."""
    telling = telling_cases(evidence)
    seen = [observed(one) for one in telling]
    moved = {id(s): [departures(s.layer, one, evidence.conventions) for one in telling] for s in singles}
    apart: list[Suspect] = []
    entangled: list[Suspect] = []
    for a, b in combinations(singles, 2):
        if a.ids == b.ids or issubclass(a.classes[0], b.classes[0]) or issubclass(b.classes[0], a.classes[0]):
            continue
        moved_by_a, moved_by_b = moved[id(a)], moved[id(b)]
        if acts_through(a, b) or acts_through(b, a) or all(map(could_be_both, seen, moved_by_a, moved_by_b)):
            both = stacked(a, b)
            if both:
                (apart if all(map(do_not_meet, moved_by_a, moved_by_b)) else entangled).append(both)
    for group in (apart, entangled):
        found = [both for both in group if evidence.explained_by(both)]
        if found:
            return found
    return []


def acts_through(a: Suspect, b: Suspect) -> bool:
    return b.ids[0] in a.classes[0].acts_through


def stacked(a: Suspect, b: Suspect) -> Suspect | None:
    """Gradients, listed last, act on what the rest gives. None where the two cannot lie over each other."""
    for classes in (b.classes + a.classes, a.classes + b.classes):
        both = Suspect(a.ids + b.ids, classes)
        try:
            both.layer  # noqa: B018 (that builds the class)
        except TypeError:
            continue
        return both
    return None


def telling_cases(evidence: Evidence) -> list[Played]:
    """The worst failures, one for each set of places that are wrong."""
    found: dict[frozenset, Played] = {}
    for one in evidence.failing:
        if not _raises(one) and len(found) < TELLING:
            places = frozenset((one.seen.steps[n].op, name) for n, name in observed(one).clearly)
            found.setdefault(places, evidence.in_any_mode(one))
    return list(found.values())


def with_fast_variance(
    singles: list[Suspect], enveloped: list[envelopes.Envelope], evidence: Evidence
) -> Iterable[Suspect]:
    """A fixed mistake on top of a fast variance. Fewer bits are too wide an envelope for that: much would fit in it."""
    envelope = next(one for one in enveloped if one.id == "fast_variance")
    for one in singles:
        both = replace(one, ids=(*one.ids, envelope.id), envelope=envelope)
        if evidence.explained_by(both):
            yield both


def _covers_single_value(
    found: list[Suspect], evidence: Evidence, single: list[Played], failed: list[Judgement]
) -> bool:
    """Whether what was found also accounts for the failures with one value per channel."""
    ids = {identity for one in found for identity in one.ids}
    by_n_minus_1 = any(known.single_value for known in KNOWN if known.id in ids)
    lost = all(one.verdict == RAISED or (one.message or "").startswith("not finite") for one in failed)
    if (by_n_minus_1 and lost) or "wrong_axis" in ids:
        return True
    return any(all(evidence.fits(one, case) for case in single) for one in found)


def _findings(found: list[Suspect], evidence: Evidence, failed: list[Judgement]) -> list[Finding]:
    """One finding an id, in the order found, with the cases that it is needed for."""
    findings: dict[str, Finding] = {}
    for suspect in found:
        for number, identity in enumerate(suspect.ids):
            cases = _needed_for(suspect, number, evidence) or [one.case for one in failed]
            merged = findings.setdefault(identity, finding(identity, failed, suspect.detail))
            merged["cases"] = list(dict.fromkeys((merged["cases"] if "ready" in merged else []) + cases))
            merged["ready"] = True
    for one in findings.values():
        del one["ready"]
    return list(findings.values())


def _needed_for(suspect: Suspect, number: int, evidence: Evidence) -> list[str]:
    """The failing cases that the rest of a pair, alone, does not explain. Of a single mistake: all of them."""
    if len(suspect.ids) == 1:
        return []
    if suspect.envelope is None:
        others = [one for one in suspect.classes if (suspect.ids[number],) != _ids_of(one, suspect)]
        rest = Suspect((), tuple(others))
    elif number == len(suspect.ids) - 1:
        rest = replace(suspect, envelope=None)
    else:
        rest = replace(suspect, classes=(OracleLayer,))
    needed: dict[str, None] = {}
    for one in evidence.failing:
        if one.case.id not in needed and not evidence.fits(rest, one):
            needed[one.case.id] = None
    return list(needed)


def _ids_of(layer: type[OracleLayer], suspect: Suspect) -> tuple[str, ...]:
    return next((known.id,) for known in KNOWN if known.id in suspect.ids and layer in known.variants)


def finding(identity: str, failed: list[Judgement], detail: str = "") -> Finding:
    text = TEXTS[identity] + (f" ({detail})" if detail else "")
    if identity in ("wrong_form", "non_finite_output", "unexplained"):
        text += f"; first: {failed[0].message}" if failed[0].message else ""
    return {"id": identity, "text": text, "cases": list(dict.fromkeys(one.case for one in failed))}


def observations_to_notes(report: TargetReport, isolated: Any) -> list[dict[str, str]]:
    """Behaviour that is nobody's fault: policy cases, output, changed global state. One note an id."""
    from harness.notes import notes

    return notes(report, isolated)
