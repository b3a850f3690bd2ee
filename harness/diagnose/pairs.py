"""Two fixed mistakes at once. Few pairs are replayed: most are ruled out by where each mistake shows alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from harness.diagnose import tuning
from harness.diagnose.evidence import Evidence
from harness.diagnose.interplay import (
    Departures,
    Place,
    could_be_both,
    departures_of,
    departures_of_target,
    do_not_meet,
    matched_places,
)
from harness.diagnose.suspects import Suspect, simplest, stacked
from harness.judge.oracle import OracleLayer
from harness.judge.report import PlayedCase
from reference.conventions import Conventions


@dataclass(frozen=True)
class Candidate:
    """A single mistake, and where it shows in each of the cases that are compared."""

    suspect: Suspect
    cases: list[PlayedCase]
    departures: list[Departures | None]
    conventions: Conventions

    @property
    def layer(self) -> type[OracleLayer]:
        return self.suspect.classes[0]

    @cached_property
    def matched(self) -> list[set[Place]]:
        """Where the target has this mistake's numbers. Few candidates are asked."""
        pairs = zip(self.cases, self.departures, strict=True)
        return [matched_places(self.layer, case, self.conventions, departures) for case, departures in pairs]


def by_pair(singles: list[Suspect], evidence: Evidence) -> list[Suspect]:
    """Two mistakes of different ids that together explain everything: first those that do not act on each other."""
    apart: list[Suspect] = []
    entangled: list[Suspect] = []
    for a, b in possible_pairs(singles, evidence):
        both = stacked(a.suspect, b.suspect)
        if both:
            apart_here = all(map(do_not_meet, a.departures, b.departures, a.matched, b.matched))
            (apart if apart_here else entangled).append(both)
    for group in (apart, entangled):
        explaining = [both for both in group if evidence.explained_by(both)]
        if explaining:
            return simplest(explaining, singles)
    return []


def possible_pairs(singles: list[Suspect], evidence: Evidence) -> Iterable[tuple[Candidate, Candidate]]:
    """The pairs that the places where each shows do not rule out."""
    cases, conventions = cases_to_compare(evidence), evidence.conventions
    candidates = [Candidate(single, cases, [], conventions) for single in singles if not single.layer.alone]
    hidden = hidden_pairs(candidates)
    possible = ~np.eye(len(candidates), dtype=bool)
    for case in cases:
        left = np.flatnonzero((possible | hidden).any(axis=1))  # what has no partner is not replayed any more
        for number in left:
            candidates[number].departures.append(departures_of(candidates[number].layer, case, conventions))
        of_left = could_be_both(departures_of_target(case), [candidates[number].departures[-1] for number in left])
        still_possible = np.zeros_like(possible)
        still_possible[np.ix_(left, left)] = of_left
        possible &= still_possible
    for row, column in np.argwhere(np.triu(possible | hidden, 1)).tolist():
        a, b = candidates[row], candidates[column]
        if a.suspect.ids != b.suspect.ids and not issubclass(a.layer, b.layer) and not issubclass(b.layer, a.layer):
            yield a, b


def hidden_pairs(candidates: list[Candidate]) -> np.ndarray:
    """Booleans for each two candidates: whether one shows nowhere by itself, but may beside the other."""
    hidden = np.zeros((len(candidates), len(candidates)), bool)
    for row, candidate in enumerate(candidates):
        if candidate.layer.acts_through:
            hidden[row] = [acts_through(candidate.suspect, other.suspect) for other in candidates]
    return hidden | hidden.T


def acts_through(a: Suspect, b: Suspect) -> bool:
    """Whether `a` shows nowhere by itself, but may beside `b`."""
    return b.ids[0] in a.classes[0].acts_through


def cases_to_compare(evidence: Evidence) -> list[PlayedCase]:
    """The worst failures, one for each set of places that are wrong."""
    by_places: dict[frozenset[tuple[str, str]], PlayedCase] = {}
    for played in evidence.failing:
        if not played.raised and len(by_places) < tuning.CASES_COMPARED:
            clear = departures_of_target(played).clear
            places = frozenset((played.observation.steps[step].op, name) for step, name in clear)
            if places not in by_places:
                by_places[places] = evidence.in_any_mode(played)
    return list(by_places.values())
