"""The search for what explains a target: the first class of explanations that succeeds, and all of that class.

The classes, in this order: a fixed mistake; wrong axes, recognised by y alone; a mistake with one fitted number;
gradients of 16-bit input in parts; rounding by envelope; a mistake under a condition; two fixed mistakes; a fixed
mistake on a fast variance; a fast variance in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from harness.diagnose.conditional import by_condition
from harness.diagnose.envelopes import NARROW, Envelope, fast_in_float32, fast_variance, low_precision
from harness.diagnose.evidence import Evidence
from harness.diagnose.factors import by_factor
from harness.diagnose.in_parts import by_parts
from harness.diagnose.kept_statistics import in_every_narrow_type
from harness.diagnose.line_up import not_ruled_out
from harness.diagnose.misfit import fits
from harness.diagnose.mistakes.axes import GROUPINGS
from harness.diagnose.mistakes.known_options import IDS as OPTION_IDS
from harness.diagnose.of_options import asks_for_an_option
from harness.diagnose.pairs import by_pair
from harness.diagnose.suspects import Suspect, simplest, single_suspects
from harness.judge.oracle import OracleLayer


def search(evidence: Evidence, fixed_only: bool = False, others: Sequence[Suspect] = ()) -> list[Suspect]:
    """What explains the evidence. Empty where nothing does, or nothing failed. `fixed_only`: the first class alone.

    others: what may be wrong besides, of which it is known that it explains nothing by itself: what explains other
    types, or what may go wrong between replicas.
    """
    if not evidence.failing:
        return []
    singles = single_suspects(evidence.conventions)
    if not any(asks_for_an_option(played.case) for played in evidence.played):
        singles = [suspect for suspect in singles if suspect.ids[0] not in OPTION_IDS]
    if not plays_without_gradients(evidence):
        singles = [suspect for suspect in singles if suspect.ids != ("mode_follows_grad",)]
    candidates = not_ruled_out(singles, evidence)
    fixed = simplest([suspect for suspect in candidates if evidence.explained_by(suspect)], singles)
    if fixed or fixed_only:
        return fixed
    besides = [other for other in others if other.holds is None and OracleLayer not in other.classes]
    fast = fast_variance(evidence.conventions)
    in_fewer_bits = [low_precision(evidence.conventions, name) for name in NARROW]
    fast_in_fewer_bits = fast_in_float32(evidence.conventions)
    kept = in_every_narrow_type(evidence.conventions, {played.dtype for played in evidence.played})
    classes: tuple[Callable[[], Iterable[Suspect]], ...] = (
        lambda: by_grouping(evidence),
        lambda: by_number(evidence),
        lambda: by_parts(evidence, besides),
        lambda: by_envelope([fast, *kept, *in_fewer_bits], evidence),
        lambda: by_condition(singles, evidence, candidates),
        lambda: by_pair(singles, evidence),
        lambda: with_fast_variance([*singles, *besides], fast, evidence),
        lambda: with_fast_variance(singles, fast_variance(evidence.conventions, any_mode=True), evidence),
        lambda: by_envelope([fast_in_fewer_bits], evidence),
    )
    for of_class in classes:
        explaining = list(of_class())
        if explaining:
            return explaining
    return []


def plays_without_gradients(evidence: Evidence) -> bool:
    """Whether the target trains with gradients off at all: else nothing shows what its mode hangs on."""
    results = [result for played in evidence.played for result in played.observation.steps]
    return any(result.op == "train_no_grad" and result.values for result in results)


def by_grouping(evidence: Evidence) -> Iterable[Suspect]:
    """Wrong axes, by y alone: there are too many ways in which such a layer may average into C moving values."""
    y_is_wrong = any(
        judgement.observable == "y" and judgement.op == "train" and judgement.counts_against
        for played in evidence.failing
        for judgement in played.judgements
    )
    if not y_is_wrong:
        return
    for layer in GROUPINGS:
        cases = (evidence.in_any_mode(played) for played in evidence.played)
        if all(fits(layer, played, evidence.conventions, only=("train", "y")) for played in cases):
            yield Suspect(("wrong_axis",), (layer,))


def by_number(evidence: Evidence) -> Iterable[Suspect]:
    """A mistake with one fitted number. It must come closer than the oracle: the right number explains nothing."""
    for explanation in evidence.fitting.explanations(evidence.played):
        suspect = Suspect((explanation.id,), (explanation.layer,), explanation.detail)
        if all(evidence.is_closer(suspect, case) for case in evidence.failing):
            yield suspect
    scaled = by_factor(evidence)
    if scaled:
        yield scaled


def by_envelope(envelopes: Iterable[Envelope], evidence: Evidence) -> Iterable[Suspect]:
    """The first envelope that holds everything, the narrowest first."""
    for envelope in envelopes:
        suspect = Suspect(envelope.ids, (OracleLayer,), envelope.detail, envelope)
        if envelope.shows(evidence.errors) and evidence.explained_by(suspect):
            yield suspect
            return


def with_fast_variance(singles: Iterable[Suspect], fast: Envelope, evidence: Evidence) -> Iterable[Suspect]:
    """A fixed mistake on top of a fast variance. Fewer bits are too wide an envelope for that: much would fit in it."""
    if not fast.shows(evidence.errors):
        return
    for single in singles:
        both = replace(single, ids=single.ids + fast.ids, envelope=fast)
        if evidence.explained_by(both):
            yield both
