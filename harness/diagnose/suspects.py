"""Suspects and evidence: which mistakes, of the simplest class that succeeds, explain every law observable.

The classes, in this order: a fixed mistake; wrong axes told by y alone; a mistake with one fitted number; rounding by
envelope; two fixed mistakes; a fixed mistake on a fast variance; a fast variance in float32.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import combinations

from harness.diagnose import envelopes, fitted, tuning
from harness.diagnose.mistakes.axes import GROUPINGS
from harness.diagnose.mistakes.known import KNOWN, Known
from harness.diagnose.replay import could_be_both, departures, do_not_meet, fits, misfit, observed
from harness.judge.expected import expect
from harness.judge.oracle import OracleLayer
from harness.judge.report import PlayedCase
from reference.conventions import Conventions


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

    played: list[PlayedCase]
    conventions: Conventions
    failing: list[PlayedCase] = field(default_factory=list)
    """Those that the oracle does not explain, even within the slack that a mistake is given."""
    _widened: dict[int, PlayedCase] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.played.sort(key=lambda one: (-min(_worst(one), tuning.RATIO_CAP), _size(one)))
        self.failing = [one for one in self.played if not fits(OracleLayer, one, self.conventions)]

    def in_any_mode(self, one: PlayedCase) -> PlayedCase:
        """The case with the bounds of a target that may take one mode for the other."""
        if id(one) not in self._widened:
            self._widened[id(one)] = replace(one, expected=expect(one.script, self.conventions, any_mode=True))
        return self._widened[id(one)]

    def fits(self, suspect: Suspect, one: PlayedCase) -> bool:
        if suspect.envelope:
            wide, slack = (
                next(iter(suspect.envelope.around([one]))),
                1.0 if suspect.layer is OracleLayer else tuning.SLACK,
            )
            return fits(suspect.layer, wide, self.conventions, within=slack)
        return fits(suspect.layer, self.in_any_mode(one), self.conventions)

    def explained_by(self, suspect: Suspect) -> bool:
        """Everything fits, some failure by a number rather than an exception on both sides, all better than without."""
        return (
            all(self.fits(suspect, one) for one in self.played)
            and any(one.observation.steps and one.observation.steps[0].error is None for one in self.failing)
            and (suspect.envelope is not None or all(self.closer(suspect, one) for one in self.failing))
        )

    def closer(self, suspect: Suspect, one: PlayedCase) -> bool:
        """Whether the mistake comes closer to what was seen than the oracle does: a tolerance may be wide for both."""
        with_it, without = (
            misfit(layer, one, self.conventions, None, None, False) for layer in (suspect.layer, OracleLayer)
        )
        return with_it <= tuning.MUST_SHRINK_TO * without

    def without(self, unwanted: Iterable[PlayedCase]) -> Evidence:
        drop = {id(one) for one in unwanted}
        return Evidence([one for one in self.played if id(one) not in drop], self.conventions)


def _size(one: PlayedCase) -> int:
    return sum(step.x.size for step in one.script.steps if step.x is not None)


def _worst(one: PlayedCase) -> float:
    """The largest ratio among the failures of a case. What is not finite, or raised, tells little: it comes last."""
    ratios = [j.ratio for j in one.judgements if j.counts_against and j.ratio is not None]
    finite = [ratio for ratio in ratios if ratio < float("inf")]
    return max(finite) if finite else (0.5 if any(j.counts_against for j in one.judgements) else 0.0)


def search(evidence: Evidence, fixed_only: bool = False) -> list[Suspect]:
    """The first class of explanations that succeeds; all of that class."""
    if not evidence.failing:
        return []
    singles = [suspect for known in KNOWN if known.applies(evidence.conventions) for suspect in suspects(known)]
    if not any(step.op == "train_no_grad" and step.values for one in evidence.played for step in one.observation.steps):
        singles = [one for one in singles if one.ids != ("mode_follows_grad",)]
    fixed = simplest([one for one in singles if evidence.explained_by(one)], singles)
    if fixed or fixed_only:
        return fixed
    enveloped = envelopes.envelopes(evidence.conventions)
    for candidates in (
        lambda: by_grouping(evidence),
        lambda: by_number(evidence),
        lambda: by_envelope(enveloped, evidence),
        lambda: pairs(singles, evidence),
        lambda: with_fast_variance(singles, enveloped, evidence),
        lambda: by_envelope([envelopes.fast_in_float32(evidence.conventions)], evidence),
    ):
        found = list(candidates())
        if found:
            return found
    return []


def simplest(found: list[Suspect], singles: list[Suspect]) -> list[Suspect]:
    """What makes two mistakes at once, and so stands under two ids, gives way to what makes one of them."""
    times = Counter(one.classes[0] for one in singles)
    return [one for one in found if all(times[layer] == 1 for layer in one.classes)] or found


def suspects(known: Known) -> Iterable[Suspect]:
    return (Suspect((known.id,), (variant,)) for variant in known.variants)


def by_grouping(evidence: Evidence) -> Iterable[Suspect]:
    """Wrong axes, by y alone: what such a layer averages into C moving values, nobody can foretell."""
    wrong = [one for one in evidence.failing if any(
        j.observable == "y" and j.op == "train" and j.counts_against for j in one.judgements)]  # fmt: skip
    if not wrong:
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
        ids = (envelope.id, envelope.also) if envelope.also else (envelope.id,)
        suspect = Suspect(ids, (OracleLayer,), envelope.detail, envelope)
        if envelope.shows(evidence.failing, evidence.played) and evidence.explained_by(suspect):
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
            return simplest(found, singles)
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


def telling_cases(evidence: Evidence) -> list[PlayedCase]:
    """The worst failures, one for each set of places that are wrong."""
    found: dict[frozenset, PlayedCase] = {}
    for one in evidence.failing:
        if not one.raised and len(found) < tuning.CASES_COMPARED:
            places = frozenset((one.observation.steps[n].op, name) for n, name in observed(one).clearly)
            found.setdefault(places, evidence.in_any_mode(one))
    return list(found.values())


def with_fast_variance(
    singles: list[Suspect], enveloped: list[envelopes.Envelope], evidence: Evidence
) -> Iterable[Suspect]:
    """A fixed mistake on top of a fast variance. Fewer bits are too wide an envelope for that: much would fit in it."""
    envelope = next(one for one in enveloped if one.id == "fast_variance")
    if not envelope.shows(evidence.failing, evidence.played):
        return
    for one in singles:
        both = replace(one, ids=(*one.ids, envelope.id), envelope=envelope)
        if evidence.explained_by(both):
            yield both
