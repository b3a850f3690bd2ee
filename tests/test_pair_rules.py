"""Two targets against each other, on steps that are written out by hand: pairs, and two beside each other."""

from dataclasses import replace

import numpy as np
import pytest

from harness.cases.case import Case
from harness.judge.basis import basis
from harness.judge.beside import FurthestApart, beside, sentence
from harness.judge.expected import Expected
from harness.judge.judgement import Judgement, Kind, Reason, Verdict
from harness.judge.pair import PairVerdict
from harness.judge.pairs import compare_pairs
from harness.judge.report import PlayedCase, TargetReport, worst_of_each_case
from harness.targets.player import Description, Failure, Observation, StepResult
from reference.conventions import PRESETS

X = np.array([[1.0, 2.0], [3.0, -4.0], [5.0, 6.0]])
BOUND = 2.0**-10
CASE = Case("by_hand", "why", shape=X.shape, script=("train",))
NAN, INF = float("nan"), float("inf")


def target(name, *steps, preset="d2l", case=CASE, dtype="float64"):
    """A report of one case; steps: (observable, what it gave, what was expected of it, the bound)."""
    results, expected = [], []
    for observable, got, want, bound in steps:
        results.append(StepResult("train", 0, {observable: np.asarray(got)}))
        wanted = np.asarray(want)
        expected.append(Expected({observable: wanted}, {observable: np.broadcast_to(bound, wanted.shape)}))
    script = case.make("float32", 0, 0.9)
    played = PlayedCase(case, dtype, script, expected, Observation(results), [])
    return TargetReport(name, conventions=PRESETS[preset], played=[played])


def moved(place, by, start=X):
    y = start.copy()
    y[place] += by
    return y


def one_pair(*reports):
    (pair,) = compare_pairs(list(reports))
    return pair


def one_beside(a, b, ops=()):
    (line,) = beside(a, b, ops)
    return line


# --- pairs ---


@pytest.mark.parametrize(
    ("by", "verdict", "ratio"),
    [(0.0, "agree", 0.0), (2 * BOUND, "agree", 1.0), (2.5 * BOUND, "differ", 1.25), (NAN, "differ", INF)],
)
def test_two_may_be_as_far_apart_as_both_bounds_together(by, verdict, ratio):
    a, b = target("a", ("y", X, X, BOUND)), target("b", ("y", moved((1, 1), by), X, BOUND))
    pair = one_pair(a, b)
    assert (pair.a, pair.b, pair.dtype, pair.observable) == ("a", "b", "float64", "y")
    assert (pair.verdict, pair.ratio, pair.case, pair.compared) == (verdict, ratio, "by_hand", 1)
    assert pair.as_dict()["verdict"] == verdict


def test_what_conventions_alone_put_between_two_is_declared():
    """Whatever the targets gave: their expected values are further apart than the bounds allow."""
    other = moved((0, 0), 1.0)
    a, b = target("a", ("y", X, X, BOUND)), target("b", ("y", other, other, BOUND), preset="torch")
    pair = one_pair(a, b)
    assert (pair.verdict, pair.ratio, pair.case) == ("declared", None, None)
    assert pair.declared_by == ("momentum", "moving_var")


def test_what_conventions_put_between_two_within_the_bounds_widens_them():
    """|a - b| over both bounds and the distance of what is expected: 4 of 2 + 1 bounds."""
    want = moved((0, 0), BOUND)
    a, b = target("a", ("y", X, X, BOUND)), target("b", ("y", moved((0, 0), 4 * BOUND), want, BOUND))
    assert one_pair(a, b).ratio == pytest.approx(4 / 3, rel=1e-12)
    assert one_pair(a, b).verdict is PairVerdict.differ


def test_the_worst_step_of_an_observable_stands_for_it():
    steps = [("y", moved((0, 0), by), X, BOUND) for by in (0.5 * BOUND, 3 * BOUND, BOUND)]
    pair = one_pair(target("a", *[("y", X, X, BOUND)] * 3), target("b", *steps))
    assert (pair.verdict, pair.ratio, pair.compared) == (PairVerdict.differ, 1.5, 3)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_difference_is_worse_than_a_declared_one_and_that_than_agreement(order):
    different, declared = ("y", moved((0, 0), 9 * BOUND), X, BOUND), ("y", X + 1, X + 1, BOUND)
    agreeing, plain = ("y", X, X, BOUND), ("y", X, X, BOUND)
    for steps, verdict in (((different, declared), "differ"), ((declared, agreeing), "declared")):
        a = target("a", plain, plain)
        b = target("b", *[steps[place] for place in order], preset="torch")
        assert one_pair(a, b).verdict == verdict


def test_bounds_that_prove_nothing_leave_a_pair_open():
    pair = one_pair(target("a", ("y", X, X, 1.0)), target("b", ("y", X + 0.5, X, 1.0)))
    assert (pair.verdict, pair.ratio, pair.compared) == ("inconclusive", None, 1)


def test_channels_of_policy_do_not_count_between_two():
    case = replace(CASE, policy=(0,))
    a = target("a", ("y", X, X, BOUND), case=case)
    b = target("b", ("y", moved((0, 0), 9.0), moved((0, 0), 5.0), BOUND), case=case)
    assert (one_pair(a, b).verdict, one_pair(a, b).ratio) == ("agree", 0.0)
    of_channels = [("dbeta", np.array([1.0, 2.0]), np.array([1.0, 2.0]), BOUND)]
    off = [("dbeta", np.array([9.0, 2.0]), np.array([1.0, 2.0]), BOUND)]
    assert one_pair(target("a", *of_channels, case=case), target("b", *off, case=case)).verdict == "agree"


def test_where_some_channels_do_not_count_the_others_do():
    case = replace(CASE, policy=(0,))
    b = target("b", ("y", moved((0, 1), 3 * BOUND), X, BOUND), case=case)
    pair = one_pair(target("a", ("y", X, X, BOUND), case=case), b)
    assert (pair.verdict, pair.ratio) == ("differ", 1.5)


def test_equal_numbers_agree_where_no_error_is_allowed():
    exact = target("a", ("y", X, X, 0.0))
    assert (one_pair(exact, exact).verdict, one_pair(exact, exact).ratio) == ("agree", 0.0)
    assert one_pair(exact, target("b", ("y", moved((1, 1), 2.0**-40), X, 0.0))).verdict == "differ"


def test_what_is_not_compared_makes_no_pair():
    plain = target("a", ("y", X, X, BOUND))
    assert compare_pairs([plain, target("b", ("y", X.T, X, BOUND))]) == []
    assert compare_pairs([plain, target("b", ("dx", X, X, BOUND))]) == []
    assert compare_pairs([plain, target("b", ("y", X, X, BOUND), dtype="float32")]) == []
    assert compare_pairs([plain, target("b", ("y", X, X, BOUND), case=replace(CASE, id="another"))]) == []
    of_policy = replace(CASE, policy="all")
    assert compare_pairs([target(name, ("y", X, X, BOUND), case=of_policy) for name in "ab"]) == []
    assert compare_pairs([plain, TargetReport("b", load_error="no such module")]) == []


def test_every_two_are_a_pair():
    reports = [target(name, ("y", X, X, BOUND)) for name in "abc"]
    assert [(pair.a, pair.b) for pair in compare_pairs(reports)] == [("a", "b"), ("a", "c"), ("b", "c")]


# --- beside ---


@pytest.mark.parametrize(
    ("a_off", "b_off", "right", "words"),
    [
        (0.0, 0.0, "both", "float64 y: the same; 0 apart at most, 0 of the sum of the bounds"),
        (0.5, 8.0, "a", "float64 y: 0.0073 apart in by_hand, 3.8 times the sum of the bounds; A is right, "
         "B is 8 bounds off"),
        (8.0, 1.0, "b", "float64 y: 0.0068 apart in by_hand, 3.5 times the sum of the bounds; B is right, "
         "A is 8 bounds off"),
        (-8.0, 4.0, "neither", "float64 y: 0.012 apart in by_hand, 6 times the sum of the bounds; A is 8 bounds off "
         "and B 4"),
    ],
)  # fmt: skip
def test_which_of_two_is_right(a_off, b_off, right, words):
    a, b = (target(name, ("y", moved((1, 0), off * BOUND), X, BOUND)) for name, off in (("a", a_off), ("b", b_off)))
    line = one_beside(a, b)
    assert line == FurthestApart("float64", "y", 1, abs(a_off - b_off) / 2, abs(a_off - b_off) * BOUND, abs(a_off),
                          abs(b_off), "by_hand")  # fmt: skip
    assert (line.right, sentence(line, "A", "B")) == (right, words)
    assert line.as_dict()["right"] == right
    assert line.same is (line.ratio <= 1)


def test_what_conventions_put_between_two_is_a_difference_here():
    other = moved((0, 0), 1.0)
    line = one_beside(target("a", ("y", X, X, BOUND)), target("b", ("y", other, other, BOUND)))
    assert (line.ratio, line.right) == (512.0, "both")
    assert sentence(line, "A", "B").endswith("each is right under its own conventions")


def test_no_number_beside_one_is_infinitely_far():
    line = one_beside(target("a", ("y", X, X, BOUND)), target("b", ("y", moved((0, 0), NAN), X, BOUND)))
    assert (line.ratio, line.a_off, line.b_off, line.right) == (INF, 0.0, INF, "a")


def test_the_worst_step_is_shown_and_all_are_counted():
    steps = [("y", moved((0, 0), by * BOUND), X, BOUND) for by in (1, 6, 2)]
    line = one_beside(target("a", *[("y", X, X, BOUND)] * 3), target("b", *steps))
    assert (line.compared, line.ratio) == (3, 3.0)


def test_asked_for_by_operation():
    a, b = (target(name, ("y", X, X, BOUND), ("moving_mean", X[0], X[0], BOUND)) for name in "ab")
    assert [line.column for line in beside(a, b)] == ["y", "moving_mean"]
    assert [line.column for line in beside(a, b, ("train",))] == ["y"]
    assert beside(a, b, ("eval",)) == []


def test_what_cannot_be_set_beside_the_other_is_left_out():
    plain = target("a", ("y", X, X, BOUND))
    empty = np.zeros((0, 2))
    assert beside(plain, target("b", ("y", X.T, X, BOUND))) == []
    assert beside(plain, target("b", ("dx", X, X, BOUND))) == []
    assert beside(plain, target("b", ("y", X, X, BOUND), dtype="float32")) == []
    assert beside(target("a", ("y", empty, empty, BOUND)), target("b", ("y", empty, empty, BOUND))) == []
    assert beside(target("a", ("y", X, X, 1.0)), target("b", ("y", X, X, 1.0))) == []
    of_policy = replace(CASE, policy="all")
    assert beside(*(target(name, ("y", X, X, BOUND), case=of_policy) for name in "ab")) == []


def test_channels_of_policy_are_not_set_beside_each_other():
    case = replace(CASE, policy=(0,))
    a = target("a", ("y", X, X, BOUND), ("dbeta", X[0], X[0], BOUND), case=case)
    b = target("b", ("y", moved((0, 0), 9.0), X, BOUND), ("dbeta", X[0] + [9, 0], X[0], BOUND), case=case)
    assert [line.ratio for line in beside(a, b)] == [0.0, 0.0]


# --- what a verdict rests on, and which judgement stands for a case ---


def described(preset="torch", **of_description):
    description = Description("torch", ("float32",), (4,), (), {}, **of_description)
    return TargetReport("t", conventions=PRESETS[preset], source="probed", description=description)


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (TargetReport("t"), ""),
        (replace(described(), conventions=None), ""),
        (replace(described(), source="declared"), ""),
        (replace(described(inherits="torch"), source="declared"), "by torch's conventions, as a subclass of its layer"),
        (replace(described(framework="torch"), source="--as torch"), ""),
        (described(), "as probed"),
        (described(framework="torch"), "as probed: like torch's layers"),
        (described("d2l", framework="torch"),
         "as probed: momentum=keep, moving_var=biased; torch's layers take new, unbiased"),
        (replace(described("d2l", framework="torch"), unseen=("momentum",)),
         "as probed: moving_var=biased; torch's layers take unbiased"),
        (replace(described("d2l", framework="torch"), unseen=("momentum", "moving_var")),
         "as probed: like torch's layers"),
    ],
)  # fmt: skip
def test_by_what_a_verdict_was_reached(report, words):
    assert basis(report) == words


def law(case, ratio, verdict=Verdict.differ, kind=Kind.law, dtype="float32"):
    return Judgement(case, dtype, 0, "train", "y", kind, verdict, Reason.beyond_bound, ratio=ratio)


def test_of_each_case_and_dtype_the_worst_failure():
    judgements = [
        law("a", 2.0), law("a", 5.0), law("a", 3.0), law("a", None, Verdict.raised), law("a", 9.0, kind=Kind.policy),
        law("b", None, Verdict.raised), law("b", 0.5, Verdict.agree), law("a", 1.5, dtype="float64"),
    ]  # fmt: skip
    assert worst_of_each_case(judgements) == [judgements[1], judgements[5], judgements[7]]


def test_what_raised_anywhere_in_a_case():
    (played,) = target("a", ("y", X, X, BOUND)).played
    assert not played.raised
    assert replace(played, observation=Observation(build_error=Failure("E", "m"))).raised
    results = [StepResult("train", 0), StepResult("eval", 0, error=Failure("E", "m"))]
    assert replace(played, observation=Observation(results)).raised


def test_the_verdict_of_what_could_not_be_loaded():
    assert TargetReport("t", load_error="no such module", judgements=[law("a", 2.0)]).verdict == "not_loaded"
    assert TargetReport("t", judgements=[law("a", 2.0)]).verdict == "differ"
