"""A mistake in one branch: it explains every deviation where its condition holds, and the oracle the rest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice

from harness.diagnose.conditions import Condition, both, case_conditions, only_under, step_conditions
from harness.diagnose.evidence import Evidence
from harness.diagnose.suspects import Suspect, simplest
from harness.judge.report import PlayedCase

ENOUGH = 2
"""So many cases must show a mistake where its condition holds, and as many the layer right where it does not."""


def by_condition(
    singles: list[Suspect], evidence: Evidence, not_ruled_out: list[Suspect] | None = None
) -> list[Suspect]:
    """What explains everything under the first condition that serves: on whole cases first, then on steps.

    not_ruled_out: the singles less some that are known not to explain some failing case; None: all of them.
    """
    possible = singles if not_ruled_out is None else not_ruled_out
    explaining = [suspect for suspect in possible if explains_failures(suspect, evidence)]
    candidates = simplest(explaining, singles) or with_a_number(evidence)
    return in_some_cases(candidates, evidence) or in_some_steps(singles, evidence)


def in_some_cases(candidates: list[Suspect], evidence: Evidence) -> list[Suspect]:
    """Those that explain everything under the first condition on whole cases that serves; [] where none does.

    candidates: what explains each failing case.
    """
    for condition in conditions_of(evidence) if candidates else ():
        under = {single: replace(single, condition=condition.text, holds=condition.holds) for single in candidates}
        explaining = [
            with_reserve(under[single], single, evidence)
            for single in candidates
            if evidence.explained_by(under[single])
        ]
        if explaining:
            return explaining
    return []


def with_reserve(under: Suspect, unconditional: Suspect, evidence: Evidence) -> Suspect:
    """The conditional mistake; where fewer than `ENOUGH` cases show it, or show the layer right without it, its
    condition says so.
    """
    right = right_cases(unconditional, evidence.played, evidence)
    return replace(under, condition=under.condition + reserve({case.case.id for case in evidence.failing}, right))


def right_cases(unconditional: Suspect, played: Iterable[PlayedCase], evidence: Evidence) -> set[str]:
    """The ids of cases in which the mistake would show, and is not made throughout: `ENOUGH` of them at most."""
    right: set[str] = set()
    for case in played:
        if len(right) < ENOUGH and case.case.id not in right and not evidence.fits(unconditional, case):
            right.add(case.case.id)
    return right


def reserve(wrong: set[str], right: set[str]) -> str:
    """What is to be said of how little a condition rests on; "" where it is enough."""
    if len(wrong) < ENOUGH:
        return " (seen in one case only)"
    return "" if len(right) >= ENOUGH else " (one case only shows it right elsewhere)"


def explains_failures(suspect: Suspect, evidence: Evidence) -> bool:
    return all(evidence.fits(suspect, played) for played in evidence.failing) and all(
        evidence.is_closer(suspect, played) for played in evidence.failing
    )


def with_a_number(evidence: Evidence) -> list[Suspect]:
    """Mistakes with one fitted number that explain the failing cases, whatever the others show."""
    explanations = evidence.fitting.explanations(evidence.failing)
    return [Suspect((explanation.id,), (explanation.layer,), explanation.detail) for explanation in explanations]


def conditions_of(evidence: Evidence) -> Iterator[Condition]:
    """Every condition that sets the failing cases apart; then each together with the dtype."""
    single = list(case_conditions(evidence.failing, evidence.played))
    yield from single
    if single and single[0].text.startswith("in "):
        yield from (both(single[0], other) for other in islice(single, 1, None))


def in_some_steps(singles: list[Suspect], evidence: Evidence) -> list[Suspect]:
    """A fixed mistake that is made in some steps only."""
    for condition in step_conditions(evidence.failing):
        under = {single.classes[0]: only_under(condition, single.classes[0]) for single in singles}
        explaining = [
            single for single in singles if evidence.explained_by(replace(single, classes=(under[single.classes[0]],)))
        ]
        if explaining:
            return [
                with_reserve(
                    replace(single, classes=(under[single.classes[0]],), condition=condition.text), single, evidence
                )
                for single in simplest(explaining, singles)
            ]
    return []
