"""The search goes class by class: the first that explains is named, and a class is asked only of what it is for."""

from dataclasses import replace

import pytest

from harness.diagnose import search as search_module
from harness.diagnose.kept_statistics import OWN
from harness.diagnose.mistakes.known_options import IDS as OPTION_IDS
from harness.diagnose.mistakes.numbered import with_new_weight
from harness.diagnose.search import by_grouping, plays_without_gradients, search
from harness.diagnose.suspects import Suspect
from harness.judge.oracle import OracleLayer
from tests.small_evidence import A, Target, case, evidence, known

FEW = [Suspect((name,), (known(name),)) for name in
       ("momentum_inverted", "dgamma_not_normalized", "mode_follows_grad", "frozen_ignored")]  # fmt: skip
CLASSES = ("by_grouping", "by_number", "by_parts", "by_envelope", "by_condition", "by_pair", "with_fast_variance",
           "with_fast_variance", "by_envelope")  # fmt: skip


@pytest.fixture
def asked(monkeypatch):
    """The classes in the order in which they are asked; none explains anything."""
    monkeypatch.setattr(search_module, "single_suspects", lambda _: FEW)
    names, listed = [], []

    def nothing(name):
        return lambda *given: names.append(name) or listed.append(given) or []

    for name in set(CLASSES):
        monkeypatch.setattr(search_module, name, nothing(name))
    return names, listed


def test_nothing_is_searched_for_where_nothing_failed(asked):
    assert search(evidence(OracleLayer)) == []
    assert asked[0] == []


def test_a_fixed_mistake_ends_the_search(asked):
    assert [suspect.ids for suspect in search(evidence(known("momentum_inverted")))] == [("momentum_inverted",)]
    assert asked[0] == []


def test_each_class_is_asked_in_its_turn(asked):
    unknown = evidence(with_new_weight(0.3))
    assert search(unknown) == []
    names, given = asked
    assert tuple(names) == CLASSES
    envelopes = [of for of, *_ in (given[3], given[8])]
    assert [[envelope.ids for envelope in each] for each in envelopes] == [
        [("fast_variance",), *[("statistics_rounded",)] * 3, *[("low_precision_stats",)] * 3],
        [("fast_variance", "low_precision_stats")],
    ]
    assert [envelope.narrow for envelope in envelopes[0]] == ["", *["float32", "float16", "bfloat16"] * 2]
    names.clear()
    assert search(unknown, fixed_only=True) == []
    assert names == []


def test_statistics_may_be_kept_in_a_type_of_16_bits_that_is_x_s_own(asked):
    """Said of both such types alone: of one of them it is that type."""
    of_both = [(A, "bfloat16"), (A, "float16")]
    search(evidence(Target(change=lambda _, __, a: a + 1), *of_both))
    assert [of.narrow for of in asked[1][3][0]][1:5] == ["float32", "float16", "bfloat16", OWN]


def test_the_first_class_that_explains_ends_the_search(monkeypatch, asked):
    found = [Suspect(("x",), (OracleLayer,)), Suspect(("y",), (OracleLayer,))]
    monkeypatch.setattr(search_module, "by_number", lambda _: iter(found))
    assert search(evidence(with_new_weight(0.3))) == found
    assert asked[0] == ["by_grouping"]


def test_what_explains_other_types_is_asked_besides(asked):
    others = [
        Suspect(("a",), (known("eps_missing"),)),
        Suspect(("b",), (known("eps_missing"),), holds=lambda _: True),
        Suspect(("c",), (OracleLayer,)),
    ]
    search(evidence(with_new_weight(0.3)), others=others)
    given = dict(zip(asked[0][:7], asked[1][:7], strict=True))
    assert given["by_parts"][1] == others[:1]
    assert given["with_fast_variance"][0][-1] is others[0]
    assert given["with_fast_variance"][0][:-1] == given["by_pair"][0]


def singles_of(asked, target, *plays):
    search(evidence(target, *plays))
    return [suspect.ids[0] for suspect in dict(zip(asked[0], asked[1], strict=True))["by_pair"][0]]


def test_options_and_modes_are_looked_for_where_they_can_show(asked):
    wrong = with_new_weight(0.3)
    assert "frozen_ignored" in OPTION_IDS
    assert singles_of(asked, wrong) == ["momentum_inverted", "dgamma_not_normalized"]
    frozen = case("f", script=("train", "frozen", "eval"))
    assert singles_of(asked, wrong, (A, "float64"), (frozen, "float64"))[-1] == "frozen_ignored"
    no_grad = case("n", script=("train_no_grad", "eval"))
    assert "mode_follows_grad" in singles_of(asked, wrong, (A, "float64"), (no_grad, "float64"))


def test_training_without_gradients_counts_where_it_gave_something():
    no_grad = case("n", script=("train", "train_no_grad"))
    made = evidence(OracleLayer, (no_grad, "float64"))
    assert plays_without_gradients(made)
    made.played[0].observation.steps[1].values.clear()
    assert not plays_without_gradients(made)
    assert not plays_without_gradients(evidence(OracleLayer))


# --- wrong axes, by y alone ---

RANK_4 = [(case(name, shape=shape), "float64") for name, shape in (("a", (3, 4, 2, 2)), ("b", (2, 4, 2, 3)))]


def test_wrong_axes_are_told_by_y_alone():
    per_sample = known("wrong_axis", 3)
    in_its_own_way = Target(per_sample, change=lambda _, name, a: a * 2 if name.startswith("moving") else a)
    assert [suspect.classes for suspect in by_grouping(evidence(in_its_own_way, *RANK_4))] == [(per_sample,)]


def test_where_y_is_right_no_axis_is_wrong():
    assert list(by_grouping(evidence(known("momentum_inverted"), *RANK_4))) == []
    made = evidence(known("wrong_axis", 3), *RANK_4)
    for played in made.failing:
        played.judgements[:] = [replace(j, op="eval") for j in played.judgements]
    assert list(by_grouping(made)) == []


def test_axes_must_be_wrong_in_every_case():
    target = Target(known("wrong_axis", 3), lambda made, _: made.id == "a")
    assert list(by_grouping(evidence(target, *RANK_4))) == []


def test_a_suspect_is_tried_first_where_it_is_soon_replayed():
    """Failing cases before others, small ones before large ones, and of these the short ones first."""
    large = case("large", shape=(400, 3), script=("train",))
    longer, right = case("longer", script=("train", "train", "eval")), case("right", script=("eval",))
    plays = [(each, "float64") for each in (right, large, longer, A)]
    found = evidence(Target(known("momentum_inverted"), wrong_in=lambda case, _: case is not right), *plays)
    assert [played.case.id for played in found.shortest_first] == ["a", "longer", "large", "right"]
