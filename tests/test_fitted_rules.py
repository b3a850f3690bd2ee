"""Mistakes with one number: which number is found, in which family, and when none is."""

from dataclasses import replace

import numpy as np
import pytest

from harness.diagnose.factors import by_factor, factor_in, layer_with
from harness.diagnose.fitted import Fitted, Fitting, distance_to, possible_families
from harness.diagnose.mistakes.gradient_factors import times
from harness.diagnose.mistakes.in_mode import only_in
from harness.diagnose.mistakes.numbered import (
    EPS_FAMILIES,
    MOMENTUM_FAMILIES,
    with_eps,
    with_new_weight,
    with_new_weight_times,
)
from harness.diagnose.search import by_number
from harness.judge.oracle import OracleLayer
from tests.played_by_hand import CASE, failed, played
from tests.played_by_hand import times as multiplied
from tests.small_evidence import D2L, PLAYS, A, B, Target, case, evidence, known, play


def found_by_number(target, *plays):
    return [(suspect.ids, suspect.detail) for suspect in by_number(evidence(target, *plays))]


FAMILIES = (MOMENTUM_FAMILIES[2], MOMENTUM_FAMILIES[5], EPS_FAMILIES[1], EPS_FAMILIES[2], EPS_FAMILIES[5])
"""Each kind once, besides those that the next test finds by way of the whole search."""


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.phrase)
def test_each_family_finds_its_number(family):
    number = 0.3 if family in MOMENTUM_FAMILIES else 70.0 if "times" in family.phrase else 0.02
    made = evidence(family.make(number))
    assert made.fitting.number_of(family, made.played) == number


@pytest.mark.parametrize(
    ("layer", "identity", "words"),
    [
        (with_new_weight(0.3), "momentum_wrong", "the new batch weighs 0.3"),
        (with_new_weight_times(0.7), "momentum_wrong", "the new batch weighs 0.7 times what it should"),
        (with_eps(0.02), "eps_wrong", "an eps of 0.02 is used"),
    ],
)
def test_the_number_is_said(layer, identity, words):
    assert found_by_number(layer) == [((identity,), words)]


def test_a_number_needs_two_cases():
    same_case = ((A, "float64"), (A, "float32"))
    assert found_by_number(with_new_weight(0.3), *same_case) == []


def test_a_number_of_each_case_is_no_number():
    of_case = {"a": with_new_weight(0.3), "b": with_new_weight(0.2)}
    cases = [play(of_case[name], made, "float64") for name, made in (("a", A), ("b", B))]
    made = evidence(OracleLayer)
    fitting = Fitting(cases, D2L, made.layer_fits)
    assert fitting.number_of(MOMENTUM_FAMILIES[0], cases[:1]) == 0.3
    assert fitting.number_of(MOMENTUM_FAMILIES[0], cases) is None


def test_a_number_must_come_closer_than_none():
    """Where the right number would do, it explains nothing."""
    made = evidence(with_new_weight(0.3))
    only_one = Fitted("momentum_wrong", with_new_weight(0.3), "words")
    made.fitting.explanations = lambda _: [only_one]  # type: ignore[method-assign]
    assert [suspect.detail for suspect in by_number(made)] == ["words"]
    made.is_closer = lambda *_: False  # type: ignore[method-assign]
    assert list(by_number(made)) == []


def test_a_number_is_fitted_to_a_case_without_an_exception():
    raising = play(known("wrong_axis", 1), A, "float64")
    assert raising.raised
    whole = play(with_new_weight(0.3), B, "float64")
    assert Fitting([raising, whole], D2L, lambda *_: True).trial is whole
    alone = Fitting([raising, replace(raising, case=B)], D2L, lambda *_: True)
    assert alone.trial is None
    assert alone.explanations([raising]) == []


def test_a_number_is_looked_for_once():
    fitting = evidence(with_new_weight(0.3)).fitting
    family = MOMENTUM_FAMILIES[0]
    assert fitting.closest(family, fitting.trial) == pytest.approx(0.3, rel=1e-9)
    fitting.conventions = None  # another search would raise
    assert fitting.closest(family, fitting.trial) == pytest.approx(0.3, rel=1e-9)


def families_of(*wrong):
    case = played("train", "eval")
    case.judgements.extend(failed(observable=name, op=op) for op, name in wrong)
    return [family.phrase for family in possible_families([case])]


def phrases(families, without=""):
    return [family.phrase for family in families if not (without and family.spares == without)]


def test_momentum_changes_no_training_step_and_eps_no_moving_statistic():
    assert families_of(("train", "y")) == phrases(EPS_FAMILIES, without="train")
    assert families_of(("eval", "y")) == phrases([*MOMENTUM_FAMILIES, *EPS_FAMILIES], without="eval")
    assert families_of(("train", "moving_var")) == phrases(MOMENTUM_FAMILIES, without="moving_var")
    assert families_of(("train", "moving_var"), ("train", "dx")) == []


def test_the_distance_is_relative_and_the_largest():
    case = played(("train", {"y": multiplied(1.25), "dx": multiplied(1.5)}))
    for expected in case.expected:
        expected.values = dict(expected.values)
    assert distance_to(OracleLayer, case, D2L) == 0.5
    of_zeros = played(("train", {"dx": (np.full((3, 2), 0.25), np.zeros((3, 2)))}))
    assert distance_to(OracleLayer, of_zeros, D2L) == 0.25
    other_shape = played(("train", {"y": (CASE.make("float64", 0, 0.9).steps[0].x.T, np.ones((3, 2)))}))
    assert distance_to(OracleLayer, other_shape, D2L) == 0.0
    lost = played(("train", {"y": (np.full((3, 2), np.nan), np.ones((3, 2)))}))
    assert distance_to(OracleLayer, lost, D2L) == np.inf


def test_what_raises_is_infinitely_far():
    assert distance_to(known("wrong_axis", 1), play(OracleLayer, A, "float64"), D2L) == np.inf


# --- a gradient times an unknown constant ---


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (times(3.0, "dx"), "dx times 3"),
        (times(0.7, "dgamma", "dbeta"), "dbeta and dgamma times 0.7"),
        (only_in("eval", times(-4.0, "dx")), "dx times -4 in prediction"),
        (only_in("train", times(1 / 3, "dgamma")), "dgamma times 0.333333 in training"),
    ],
)
def test_the_factor_of_a_gradient_is_found(layer, words):
    suspect = by_factor(evidence(layer))
    assert (suspect.ids, suspect.detail) == (("gradient_scaled",), words)


def test_a_factor_is_among_what_has_a_number(monkeypatch):
    monkeypatch.setattr(Fitting, "explanations", lambda *_: [])
    assert found_by_number(only_in("train", times(3.0, "dx"))) == [(("gradient_scaled",), "dx times 3 in training")]


def test_where_no_factor_is_looked_for():
    assert by_factor(evidence(times(3.0, "dx"), PLAYS[0])) is None  # one case
    assert by_factor(evidence(with_eps(0.02))) is None  # y is wrong as well
    no_grad = (case("c", script=("train_no_grad",)), "float64"), (case("d", script=("train_no_grad",)), "float64")
    assert by_factor(evidence(Target(change=lambda op, name, values: values * 3), *no_grad)) is None  # noqa: ARG005


def test_two_factors_are_none():
    target = Target(change=lambda op, name, values: values * {"train": 3, "eval": 5}[op] if name == "dx" else values)
    assert by_factor(evidence(target)) is None


def test_no_factor_of_zeros():
    zeros = np.zeros((3, 2))
    assert factor_in(played(("train", {"dx": (zeros, zeros)})), {"train"}, ["dx"]) is None
    assert factor_in(played("train"), {"train"}, ["dx"]) is None
    both = played(("train", {"dx": multiplied(3.0), "dgamma": multiplied(5.0)}))
    assert factor_in(both, {"train"}, ["dx"]) == pytest.approx(3.0)
    made = evidence(Target(change=lambda op, name, values: values * np.nan if name == "dx" else values))  # noqa: ARG005
    assert by_factor(made) is None


def test_a_factor_in_both_modes_needs_no_condition():
    plain, conditional = layer_with(3.0, {"train", "eval"}, ["dx"]), layer_with(3.0, {"eval"}, ["dx"])
    assert "In" not in plain.__name__
    assert conditional.__name__.endswith("InEval")
