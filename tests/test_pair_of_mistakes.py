"""Two mistakes at once: which pairs are replayed at all, in which order, and what is named in the end."""

from dataclasses import replace

import numpy as np

from harness.diagnose import pairs, tuning
from harness.diagnose.interplay import Departures, departures_of, departures_of_target, distances_of, matched_places
from harness.diagnose.mistakes.gradient_factors import times
from harness.diagnose.pairs import Candidate, by_pair, cases_to_compare, hidden_pairs, possible_pairs
from harness.diagnose.suspects import Suspect, stacked
from harness.judge.oracle import OracleLayer
from harness.targets.player import Observation, StepResult
from tests.small_evidence import D2L, A, B, Target, case, evidence, known, play


def single(identity, number=0):
    return Suspect((identity,), (known(identity, number),))


STATS_FROZEN, NOT_NORMALIZED = single("stats_frozen"), single("dgamma_not_normalized")
EPS_OUTSIDE, INVERTED = single("eps_outside_sqrt"), single("momentum_inverted")
SINGLES = [INVERTED, EPS_OUTSIDE, STATS_FROZEN, NOT_NORMALIZED]


def both(a, b):
    return stacked(a, b).layer


def test_two_that_do_not_meet_are_both_named():
    (pair,) = by_pair(SINGLES, evidence(both(INVERTED, NOT_NORMALIZED)))
    assert pair.ids == ("momentum_inverted", "dgamma_not_normalized")
    (pair,) = by_pair(SINGLES, evidence(both(EPS_OUTSIDE, STATS_FROZEN)))
    assert pair.ids == ("eps_outside_sqrt", "stats_frozen")


def test_one_mistake_or_none_of_these_is_no_pair():
    assert by_pair(SINGLES, evidence(times(3.0, "dx"))) == []
    assert by_pair([INVERTED, EPS_OUTSIDE], evidence(both(INVERTED, NOT_NORMALIZED))) == []


def ids_of(pairs_found):
    return [(a.suspect.ids[0], b.suspect.ids[0]) for a, b in pairs_found]


def test_where_each_shows_rules_pairs_out():
    made = evidence(both(INVERTED, NOT_NORMALIZED))
    assert ids_of(possible_pairs(SINGLES, made)) == [("momentum_inverted", "dgamma_not_normalized")]


def test_what_is_never_one_of_two_is_left_out():
    alone = Suspect(("dgamma_not_normalized",), (type("Alone", NOT_NORMALIZED.classes, {"alone": True}),))
    made = evidence(both(INVERTED, NOT_NORMALIZED))
    assert list(possible_pairs([INVERTED, alone], made)) == []


def test_two_variants_of_one_mistake_are_no_pair():
    """Nor is a mistake with one that is made of it."""
    made = evidence(both(INVERTED, NOT_NORMALIZED))
    of_same_id = Suspect(("dgamma_not_normalized",), INVERTED.classes)
    assert list(possible_pairs([of_same_id, NOT_NORMALIZED], made)) == []
    below = Suspect(("below",), (type("Below", INVERTED.classes, {}),))
    assert ids_of(possible_pairs([below, INVERTED, NOT_NORMALIZED], made)) == [
        ("below", "dgamma_not_normalized"),
        ("momentum_inverted", "dgamma_not_normalized"),
    ]
    whole = [Suspect((name,), (layer,)) for name, layer in
             (("a", both(INVERTED, NOT_NORMALIZED)), ("b", INVERTED.layer))]  # fmt: skip
    assert list(possible_pairs(whole, made)) == []
    assert list(possible_pairs(whole[::-1], made)) == []


def test_what_shows_beside_another_alone_is_not_ruled_out():
    hidden = Suspect(("hidden",), (type("Hidden", (OracleLayer,), {"acts_through": ("momentum_inverted",)}),))
    candidates = [Candidate(suspect, [], [], D2L) for suspect in (hidden, INVERTED, NOT_NORMALIZED)]
    assert hidden_pairs(candidates).tolist() == [[False, True, False], [True, False, False], [False, False, False]]
    made = evidence(both(EPS_OUTSIDE, STATS_FROZEN))
    found = ids_of(possible_pairs([hidden, INVERTED, NOT_NORMALIZED], made))
    assert found == [("hidden", "momentum_inverted")]


def test_two_that_act_on_each_other_come_second(monkeypatch):
    """Both pairs explain everything: the one whose parts are each seen by itself is named."""
    made = evidence(both(INVERTED, NOT_NORMALIZED))
    candidates = {suspect: Candidate(suspect, [], [], D2L) for suspect in SINGLES}
    listed = [(candidates[EPS_OUTSIDE], candidates[STATS_FROZEN]), (candidates[INVERTED], candidates[NOT_NORMALIZED])]
    for a, b in listed:
        a.departures[:], b.departures[:] = [Departures()], [Departures()]
    monkeypatch.setattr(pairs, "possible_pairs", lambda *_: listed)
    monkeypatch.setattr(Candidate, "matched", property(lambda self: [{self.suspect.ids[0]}]))
    monkeypatch.setattr(pairs, "do_not_meet", lambda _a, _b, by_a, _by_b: "momentum_inverted" in by_a)
    monkeypatch.setattr(made, "explained_by", lambda _: True)
    assert [pair.ids for pair in by_pair(SINGLES, made)] == [("momentum_inverted", "dgamma_not_normalized")]
    monkeypatch.setattr(pairs, "do_not_meet", lambda *_: False)
    assert len(by_pair(SINGLES, made)) == 2
    monkeypatch.setattr(made, "explained_by", lambda _: False)
    assert by_pair(SINGLES, made) == []


def prediction_is_off_and_dx_of_four_samples(op, name, values):
    return values + (op == "eval" or (name == "dx" and len(values) == 4))


def test_one_case_is_compared_of_those_that_are_wrong_alike(monkeypatch):
    plays = [(case(name, shape=shape), "float64") for name, shape in
             (("a", (4, 3)), ("b", (5, 3)), ("c", (6, 3)))]  # fmt: skip
    made = evidence(NOT_NORMALIZED.layer, *plays)
    assert len(made.failing) == 3
    assert cases_to_compare(made) == [made.in_any_mode(made.failing[0])]
    other = replace(plays[0][0], id="d", script=("eval", "train"))
    made = evidence(Target(change=lambda op, _, values: values + (op == "eval")), *plays[:2], (other, "float64"))
    assert len(cases_to_compare(made)) == 1  # by operation, not by the number of the step
    differing = evidence(Target(change=prediction_is_off_and_dx_of_four_samples), *plays)
    assert len(cases_to_compare(differing)) == 2
    monkeypatch.setattr(tuning, "CASES_COMPARED", 1)
    assert len(cases_to_compare(differing)) == 1


def test_what_raised_is_not_compared():
    made = evidence(known("wrong_axis", 1))
    assert all(played.raised for played in made.failing)
    assert cases_to_compare(made) == []


# --- where a mistake departs from the oracle ---


def test_where_a_target_departs():
    played = play(NOT_NORMALIZED.layer, A, "float64")
    found = departures_of_target(played)
    assert found.clear == found.possible == {(0, "dgamma"), (1, "dgamma")}
    played.observation.steps[0].values["unheard"] = np.ones(3)
    assert departures_of_target(played).clear == {(0, "dgamma"), (1, "dgamma")}


def test_where_a_mistake_would_depart_among_what_was_observed():
    played = play(OracleLayer, A, "float64")
    assert departures_of(NOT_NORMALIZED.layer, played, D2L).clear == {(0, "dgamma"), (1, "dgamma")}
    del played.observation.steps[0].values["dgamma"]
    assert departures_of(NOT_NORMALIZED.layer, played, D2L).clear == {(1, "dgamma")}
    del played.observation.steps[1:]
    assert departures_of(NOT_NORMALIZED.layer, played, D2L).clear == set()


def test_a_mistake_that_raises_departs_nowhere():
    played = play(OracleLayer, A, "float64")
    assert distances_of(known("wrong_axis", 1), played, D2L) == [None]
    assert departures_of(known("wrong_axis", 1), played, D2L) is None
    assert matched_places(known("wrong_axis", 1), played, D2L, None) == set()


def test_distances_are_kept_for_the_next_target(monkeypatch):
    first, second = play(OracleLayer, B, "float64"), play(NOT_NORMALIZED.layer, B, "float64")
    kept = distances_of(EPS_OUTSIDE.layer, first, D2L)
    assert distances_of(EPS_OUTSIDE.layer, second, D2L) is kept
    wider = replace(second, expected=list(second.expected))
    assert distances_of(EPS_OUTSIDE.layer, wider, D2L) is not kept
    monkeypatch.setattr(tuning, "SLACK", 8.0)
    assert distances_of(EPS_OUTSIDE.layer, second, D2L) is not kept
    blank = replace(first, observation=Observation([StepResult("train", 0)]))
    assert len(distances_of(EPS_OUTSIDE.layer, blank, D2L)) == 2  # of the whole script, whatever was observed


def test_the_target_has_a_mistakes_numbers_where_it_has():
    played = play(both(INVERTED, NOT_NORMALIZED), A, "float64")
    moves = departures_of(NOT_NORMALIZED.layer, played, D2L)
    assert matched_places(NOT_NORMALIZED.layer, played, D2L, moves) == {
        (0, "dgamma")
    }  # prediction takes other averages
    assert matched_places(EPS_OUTSIDE.layer, played, D2L, departures_of(EPS_OUTSIDE.layer, played, D2L)) == set()
    assert matched_places(NOT_NORMALIZED.layer, played, D2L, Departures()) == set()
    candidate = Candidate(NOT_NORMALIZED, [played], [moves], D2L)
    assert candidate.matched == [{(0, "dgamma")}]


def test_the_factor_leaves_room_on_both_sides():
    found = Departures()
    for name, tolerances in (("a", 0.25), ("b", 0.2501), ("c", 4.0), ("d", 4.001)):
        found.add((0, name), tolerances)
    assert sorted(name for _, name in found.possible) == ["b", "c", "d"]
    assert [name for _, name in found.clear] == ["d"]
