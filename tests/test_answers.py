"""The same answer to the same step is judged once; anything else that differs is judged anew."""

from dataclasses import replace

import numpy as np
import pytest

from harness.cases.case import Case
from harness.cases.script import Script, Step
from harness.judge.answers import KEPT_ANSWERS, SMALL
from harness.judge.expected import Expected
from harness.judge.judge import judge
from harness.judge.judgement import Kind
from harness.targets.player import Observation, StepResult

X = np.array([[1.0, 2.0], [3.0, -4.0]])
CASE = Case("by_hand", "why", shape=X.shape, script=("train",))
OTHER = replace(CASE, id="another")


def expecting(x=X):
    return Expected({"y": x}, {"y": np.full(x.shape, 2.0**-10)})


def judged(y, expected, case=CASE, op="train"):
    """The judgement of one step in which `y` is given."""
    setup = case.make("float64", 0, 0.9).setups[0]
    script = Script((setup,), (Step(op, y, y),))
    (judgement,) = judge(case, script, [expected], Observation([StepResult(op, 0, {"y": y})]))
    return judgement


def test_the_same_answer_is_judged_once():
    expected = expecting()
    for y, verdict in ((X, "agree"), (X + 1, "differ")):
        first = judged(y.copy(), expected)
        assert first.verdict == verdict
        assert judged(y.copy(), expected) is first


@pytest.mark.parametrize("place", list(np.ndindex(X.shape)), ids=str)
def test_one_element_makes_another_answer(place):
    expected, y = expecting(), X.copy()
    judged(X, expected)
    y[place] += 1
    assert (judged(y, expected).verdict, judged(y, expected).index) == ("differ", place)


def test_another_order_in_memory_is_the_same_answer():
    expected = expecting()
    first = judged(X.copy(), expected)
    assert judged(np.asfortranarray(X), expected) is first
    assert judged(X.T.copy(), expected).verdict == "differ"


def test_the_same_numbers_in_another_place_are_judged_there():
    expected = expecting()
    assert judged(X + 1, expected).kind is Kind.law
    assert judged(X + 1, expected, op="eval").op == "eval"
    assert judged(X + 1, expected, case=OTHER).case == "another"
    assert judged(X + 1, expecting(X + 1)).verdict == "agree"


def test_few_answers_are_kept():
    expected = expecting()
    first = judged(X, expected)
    for number in range(1, KEPT_ANSWERS):
        judged(X + number, expected)
    assert judged(X, expected) is first
    judged(X + KEPT_ANSWERS, expected)
    again = judged(X, expected)
    assert again == first
    assert again is not first


def test_a_large_answer_is_not_kept():
    for rows, is_kept in ((SMALL, True), (SMALL + 1, False)):
        y = np.ones((rows, 1))
        expected, case = expecting(y), replace(CASE, shape=y.shape)
        assert (judged(y, expected, case) is judged(y, expected, case)) is is_kept
