"""What diagnosis goes by, rule by rule, on cases that are written out by hand."""

from dataclasses import replace

import numpy as np
import pytest

from harness.diagnose.conditional import reserve
from harness.diagnose.conditions import Condition, both, case_conditions, counts_at_first_wrong_step, step_conditions
from harness.diagnose.deviations import constant_factor, deviations, slope, wrong_columns
from harness.diagnose.diagnose import distinct, finding, id_by_reason, merged, set_aside, unexplained
from harness.diagnose.explanation import Explanation, conditional_on
from harness.diagnose.factors import in_words
from harness.diagnose.fitted import golden_section, minimum, roundings
from harness.diagnose.interplay import Departures, could_be_both, do_not_meet
from harness.diagnose.mistakes.known import TEXTS
from harness.diagnose.suspects import Suspect, simplest, stacked
from harness.diagnose.where import where
from harness.findings import Finding
from harness.judge.judgement import Reason, Verdict
from harness.judge.oracle import OracleLayer
from tests.played_by_hand import BOUND, CASE, X, failed, off_by, played, times

# --- under which condition ---


def texts(failing, others):
    return [condition.text for condition in case_conditions(failing, [*failing, *others])]


PLAIN = {"shape": (4, 5), "eps": 1e-5, "new_weight": 0.125}


def shaped(name="a", dtype="float32", **fields):
    return played("train", case=replace(CASE, id=name, **PLAIN | fields), dtype=dtype)


@pytest.mark.parametrize(
    ("wrong", "right", "words"),
    [
        ({"dtype": "float64"}, {}, "in float64 only"),
        ({"shape": (4, 5, 1)}, {}, "at rank 3 only"),
        ({"layout": "sliced"}, {}, "where the layout in memory is sliced"),
        ({"shape": (4, 1)}, {}, "with a single channel"),
        ({"shape": (1, 5, 4)}, {"shape": (4, 5, 1)}, "where the batch holds one sample"),
        ({"shape": (5, 5)}, {}, "where n is odd"),
        ({}, {"shape": (5, 5)}, "where n is even"),
        ({"eps": 1e-3}, {}, "where eps is 0.001"),
        ({"new_weight": 0.5}, {}, "where the new batch weighs 0.5"),
        ({"shape": (2000, 5)}, {"shape": (1000, 5)}, "where n is more than 1,000"),
        ({"shape": (4, 5)}, {"shape": (6, 5)}, "where n is less than 6"),
        ({"shape": (4, 7)}, {}, "where the number of channels is more than 5"),
        ({"shape": (4, 3)}, {}, "where the number of channels is less than 5"),
    ],
)
def test_what_sets_failing_cases_apart(wrong, right, words):
    failing, others = [shaped("a", **wrong)], [shaped("b", **right)]
    (condition,) = (c for c in case_conditions(failing, failing + others) if c.text == words)
    assert condition.holds(failing[0])
    assert not condition.holds(others[0])
    assert words not in texts(others, failing)


def test_what_right_cases_share_sets_nothing_apart():
    assert texts([shaped("a")], [shaped("b")]) == []


def test_several_values_are_listed_in_order():
    failing = [shaped("a", shape=(4, 5, 1)), shaped("b", shape=(2, 5))]
    assert "at rank 2 or 3 only" in texts(failing, [shaped("c", shape=(4, 5, 1, 1))])
    strided = [shaped("a", layout="sliced"), shaped("b", layout="reversed")]
    assert "where x is not contiguous" in texts(strided, [shaped("c"), shaped("d", layout="offset")])
    assert "where x is not contiguous" not in texts(strided[:1], [shaped("c")])


def test_thresholds_lie_between_the_failing_cases_and_the_rest():
    failing = [shaped("a", shape=(8, 5)), shaped("b", shape=(16, 5))]
    others = [shaped("c", shape=(2, 5)), shaped("d", shape=(6, 5)), shaped("e", shape=(32, 5))]
    of_n = [c for c in case_conditions(failing, failing + others[:2]) if c.text.startswith("where n is")]
    assert [c.text for c in of_n] == ["where n is more than 6"]
    assert [of_n[0].holds(case) for case in (*failing, *others)] == [True, True, False, False, True]
    below = [c for c in case_conditions(failing, [*failing, others[2]]) if c.text.startswith("where n is less")]
    assert [c.text for c in below] == ["where n is less than 32"]
    assert [below[0].holds(case) for case in (*failing, *others)] == [True, True, True, True, False]


def test_two_conditions_at_once():
    one, other = Condition("in float32 only", lambda case: case.dtype == "float32"), Condition(
        "at rank 2 only", lambda case: case.case.ndim == 2)  # fmt: skip
    together = both(one, other)
    assert together.text == "in float32 and at rank 2 only"
    answers = [together.holds(shaped("a", dtype, shape=(4, 5, 1)[:rank])) for dtype, rank in
               (("float32", 2), ("float64", 2), ("float32", 3))]  # fmt: skip
    assert answers == [True, False, False]


@pytest.mark.parametrize(
    ("wrong", "right", "words"),
    [(1, 2, " (seen in one case only)"), (2, 1, " (one case only shows it right elsewhere)"),
     (2, 0, " (one case only shows it right elsewhere)"), (2, 2, ""), (3, 5, ""), (1, 0, " (seen in one case only)")],
)  # fmt: skip
def test_how_little_a_condition_rests_on(wrong, right, words):
    assert reserve(set(range(wrong)), set(range(right))) == words


# --- in which steps ---


def conditions_at(*ops, wrong):
    return [condition.text for condition in step_conditions([played(*ops, wrong=(wrong,))])]


@pytest.mark.parametrize(
    ("ops", "wrong", "words"),
    [
        (("train", "eval"), 1, ["in prediction only", "from step 2 on"]),
        (("train",), 0, ["in training only", "in a layer's first step only"]),
        (("eval", "train_no_grad"), 1,
         ["in training only", "in training with gradients off only", "from step 2 on"]),
        (("train", "train", "train"), 2,
         ["in training only", "from training step 3 on",
          "from training step 3 on, those before restoring included", "from step 3 on"]),
        (("train", "restore", "train"), 2,
         ["in training only", "after restoring only", "in a layer's first step only",
          "from training step 2 on, those before restoring included"]),
        (("train", "restore_used", "train"), 2,
         ["in training only", "after restoring only", "from training step 2 on",
          "from training step 2 on, those before restoring included", "from step 2 on"]),
        (("train", "train'"), 1, ["in training only", "in a layer's first step only"]),
        (("frozen",), 0, ["in a layer's first step only"]),
    ],
)  # fmt: skip
def test_where_a_layer_goes_wrong_first(ops, wrong, words):
    assert conditions_at(*ops, wrong=wrong) == words


def test_a_step_condition_must_serve_every_failing_case():
    cases = [played("train", "train", wrong=(1,)), played("train", "train", "eval", wrong=(2,))]
    from_the_second = ["from training step 2 on", "from training step 2 on, those before restoring included"]
    assert [c.text for c in step_conditions(cases)] == [*from_the_second, "from step 2 on"]
    assert list(step_conditions([played("train")])) == []
    assert counts_at_first_wrong_step(played("train")) is None


def test_the_first_wrong_step_counts():
    counts = counts_at_first_wrong_step(played("eval", "train", "restore_used", "eval", "train", wrong=(4, 3)))
    assert (counts.op, counts.calls, counts.trained, counts.trained_ever, counts.restored) == ("eval", 2, 1, 1, True)


# --- how large ---


def test_deviations_are_of_law_and_of_finite_numbers():
    got, want = X + 1.0, X.copy()
    got[0, 0], want[1, 0] = np.nan, np.inf
    case = played(("eval", {"y": (got, want), "moving_mean": (X[0], X[0])}), case=replace(CASE, policy=(1,)))
    of_y, of_mean = deviations([case])
    assert (of_y.column, of_y.step, of_y.got.tolist(), of_y.want.tolist()) == ("eval y", 0, [6.0], [5.0])
    assert (of_y.bound.tolist(), of_y.beyond.tolist(), of_y.relative) == ([BOUND], [True], 0.2)
    assert (of_mean.column, of_mean.got.tolist(), of_mean.beyond.tolist()) == ("moving_mean", [1.0], [False])
    assert [*wrong_columns([of_y, of_mean, of_y])] == ["eval y"]
    assert len(wrong_columns([of_y, of_mean, of_y])["eval y"]) == 2


def test_what_has_no_counterpart_makes_no_deviation():
    case = played(("train", {"y": (X.T, X), "dx": (X, X)}))
    del case.expected[0].bounds["dx"]
    case.observation.steps[0].values["dgamma"] = X[0]
    assert list(deviations([case])) == []


def test_nothing_is_relative_to_nothing():
    case = played(("train", {"y": (np.full((3, 2), np.nan), X)}))
    (deviation,) = deviations([case])
    assert deviation.relative == 0.0
    (of_zeros,) = deviations([played(("train", {"y": off_by(0.5, np.zeros((3, 2)))}))])
    assert of_zeros.relative == 0.5


def test_float64_keeps_an_error_that_float64_could_not_hold():
    start = np.full((3, 2), 1e3, np.longdouble)
    case = played(("train", {"y": (start.astype(np.float64), start)}), dtype="float64")
    case.expected[0].values["y"] = start + np.longdouble(1e-15)
    (deviation,) = deviations([case])
    assert np.abs(deviation.got - deviation.want).max() <= 2e-13


LONG = np.arange(1.0, 21.0).reshape(10, 2)


@pytest.mark.parametrize(
    ("factor", "found"),
    [(2.0, 2.0), (-1.0, -1.0), (0.0, 0.0), (1 / 3, 0.3333), (1.0, None), (1 + 1e-9, None)],
)
def test_one_factor_on_all_values(factor, found):
    of_column = list(deviations([played(("train", {"y": times(factor, LONG)}))]))
    assert constant_factor(of_column) == (found if found is None else pytest.approx(found, rel=1e-5))


def test_no_factor_without_enough_values_or_with_one_that_does_not_fit():
    few = list(deviations([played(("train", {"y": times(2.0, LONG[:3])}))]))
    assert constant_factor(few) is None
    assert constant_factor(few, enough=6) == 2.0
    assert constant_factor(few, enough=7) is None
    one_off = 2 * LONG
    one_off[3, 1] += 1.0
    assert constant_factor(list(deviations([played(("train", {"y": (one_off, LONG)}))]))) is None
    assert constant_factor([]) is None
    assert constant_factor(list(deviations([played(("train", {"y": off_by(1.0, np.zeros((10, 2)))}))]))) is None


def test_the_slope_of_one_row_against_another():
    assert slope(np.array([2.0, 4.0]), np.array([1.0, 2.0])) == 2.0
    assert slope(np.array([3.0, 0.0]), np.array([1.0, 1.0])) == 1.5
    assert slope(np.zeros(2), np.zeros(2)) is None


def test_fitted_numbers():
    assert list(roundings(1 / 3, (1, 2))) == [0.3, 0.33]
    assert golden_section(lambda x: abs(x - 0.7), 0.0, 1.0) == pytest.approx(0.7, abs=1e-12)
    assert minimum(lambda x: abs(np.log(x / 0.02)), 1e-6, 1e6) == pytest.approx(0.02, rel=1e-9)
    assert minimum(lambda x: abs(x - 1e-6), 1e-6, 1e6) == pytest.approx(1e-6, rel=1e-9)
    assert minimum(lambda x: abs(x - 1e6), 1e-6, 1e6) == pytest.approx(1e6, rel=1e-9)
    assert minimum(lambda _: np.inf, 1e-6, 1e6) is None
    assert minimum(lambda x: 0.0 if x == 1.0 else 1.0, 1e-6, 1e6) == 1.0  # a valley of one point of the grid


# --- in words ---


def test_a_factor_in_words():
    assert in_words(2.0, {"train"}, ["dbeta", "dgamma"]) == "dbeta and dgamma times 2 in training"
    assert in_words(0.5, {"eval"}, ["dx"]) == "dx times 0.5 in prediction"
    assert in_words(1 / 3, {"train", "eval"}, ["dx"]) == "dx times 0.333333"


def test_where_it_shows():
    wrong = played(("train", {"y": off_by(0.0)}), ("train", {"y": times(2.0, LONG), "dx": off_by(1.5)}), wrong=(1,))
    right = played("train", case=replace(CASE, id="other", eps=1e-3))
    right.judgements.append(failed("other", verdict=Verdict.agree, reason=Reason.within_bound))
    failures = [failed(step=1), failed(step=1, observable="dx"), failed(step=1, op="eval")]
    assert where(failures, [wrong, right]) == (
        "wrong are y, dx, eval y; in 1 of 2 plays; where eps is 1e-05; from step 2 on; "
        "y is 2 times what it should be, dx is off by up to 0.25 of its size"
    )
    right.judgements[0] = failed("other", verdict=Verdict.inconclusive)
    assert "eps" not in where(failures, [wrong, right])  # what is not known to be right sets nothing apart
    assert where([failed("another")], [wrong]) == ""


def test_a_list_of_many_numbers_is_no_place():
    failing = [shaped(name, eps=eps) for name, eps in (("a", 1e-3), ("b", 1e-4), ("c", 1e-5))]
    other = shaped("d", eps=1.0)
    other.judgements.append(failed("d", verdict=Verdict.agree, reason=Reason.within_bound))
    failures = [failed(name) for name in "abc"]
    assert "eps" not in where(failures, [*failing, other])
    assert "where eps is 0.0001 or 0.001" in where(failures[:2], [*failing[:2], other])


@pytest.mark.parametrize(
    ("steps", "wrong", "words"),
    [
        ((("eval", {"y": times(-1.0, LONG)}),), 0,
         "wrong are y; in 1 of 1 plays; eval y has the wrong sign; judged in prediction only, which shows little"),
        (("train", "restore", ("eval", {})), 2,
         "wrong are y; in 1 of 1 plays; after restoring only; judged in prediction only, which shows little"),
        ((("train", {"y": off_by(0.0)}),), None, "wrong are y; in 1 of 1 plays"),
    ],
)  # fmt: skip
def test_where_it_shows_in_time(steps, wrong, words):
    case = played(*steps, wrong=() if wrong is None else (wrong,))
    assert where([failed(step=wrong)], [case]) == words


def test_a_finding_in_words():
    failures = [failed(message="first"), failed("other"), failed("other")]
    plain = finding("eps_missing", failures, "by 2", "at rank 4 only")
    assert plain == Finding("eps_missing", f"{TEXTS['eps_missing']} (by 2); at rank 4 only", ("by_hand", "other"),
                            "at rank 4 only")  # fmt: skip
    assert finding("eps_missing", failures).text == TEXTS["eps_missing"]
    assert finding("wrong_form", failures).text == f"{TEXTS['wrong_form']}; first: first"
    assert finding("wrong_form", failures[1:]).text == TEXTS["wrong_form"]
    assert unexplained([failed("other")], []).text == TEXTS["unexplained"]
    assert unexplained([failed()], [played("train")]).text.startswith(f"{TEXTS['unexplained']}: wrong are y; in 1 of 1")
    assert distinct(["b", "a", "b"]) == ("b", "a")


def test_an_explanation_of_some_types_says_so():
    base = Finding("eps_missing", "text", ("a", "b"))
    assert conditional_on("16 bits", base, {"c", "d"}) == Finding(
        "eps_missing", "text; in 16 bits only", ("a", "b"), "in 16 bits only")  # fmt: skip
    narrowed = conditional_on("float32", replace(base, text="text; at rank 4 only", condition="at rank 4 only"), {"c"})
    assert narrowed.condition == "in float32 and at rank 4 only"
    assert narrowed.text == "text; in float32 and at rank 4 only"
    assert Explanation([Finding("unexplained", "", ())]).is_missing
    assert not Explanation([base]).is_missing


# --- what needs no replay ---


@pytest.mark.parametrize(
    ("reason", "op", "identity"),
    [
        (Reason.input_modified, "train", "input_mutated"),
        (Reason.replicas_disagree, "train", "replicas_disagree"),
        (Reason.wrong_shape, "train", "wrong_form"),
        (Reason.wrong_dtype, "eval", "wrong_form"),
        (Reason.not_a_dict, "eval", "wrong_form"),
        (Reason.unknown_name, "eval", "wrong_form"),
        (Reason.step_failed, "restore", "state_not_saved"),
        (Reason.step_failed, "restore_used", "state_not_saved"),
        (Reason.step_failed, "train", None),
        (Reason.step_failed, None, None),
        (Reason.beyond_bound, "restore", None),
    ],
)
def test_a_reason_that_says_it_all(reason, op, identity):
    assert id_by_reason(failed(reason=reason, op=op)) == identity


def test_failures_that_are_set_aside_are_named_once():
    modified = [failed("a", reason=Reason.input_modified), failed("b", reason=Reason.input_modified)]
    rest = failed("c")
    findings, left = set_aside([modified[0], rest, modified[1]])
    assert [(found.id, found.cases) for found in findings] == [("input_mutated", ("a", "b"))]
    assert left == [rest]


def test_findings_of_one_id_are_merged():
    first, again = Finding("eps_missing", "x", ("a", "b")), Finding("eps_missing", "y", ("b", "c"))
    other = Finding("wrong_axis", "z", ("d",))
    assert merged([first], [other, again]) == [replace(first, cases=("a", "b", "c")), other]


# --- two at once ---


class A(OracleLayer):
    pass


class B(OracleLayer):
    pass


class BelowA(A):
    pass


def test_two_mistakes_are_stacked_in_the_order_that_works():
    a, b = Suspect(("a",), (A,)), Suspect(("b",), (B,))
    assert stacked(a, b) == Suspect(("a", "b"), (B, A))
    below, above = Suspect(("below",), (BelowA,)), Suspect(("above",), (A,))
    assert stacked(below, above) == Suspect(("below", "above"), (BelowA, A))
    assert stacked(above, below) == Suspect(("above", "below"), (BelowA, A))
    twisted = type("Twisted", (B, A), {}), type("OtherWay", (A, B), {})
    assert stacked(*(Suspect((layer.__name__,), (layer,)) for layer in twisted)) is None
    assert a.layer is A
    assert stacked(a, b).layer.__mro__[1:3] == (B, A)


def test_what_stands_under_two_ids_gives_way():
    single, double = Suspect(("a",), (A,)), Suspect(("b",), (B,))
    listed = [single, double, Suspect(("c",), (B,))]
    assert simplest([double, single], listed) == [single]
    assert simplest([double], listed) == [double]
    assert simplest([], listed) == []


def departures(clear="", possible=""):
    return Departures({(0, name) for name in clear}, {(0, name) for name in clear + possible})


@pytest.mark.parametrize(
    ("target", "a", "b", "together"),
    [
        (departures("xy"), departures("x"), departures("y"), True),
        (departures("xyz"), departures("x"), departures("y"), False),  # what neither moves
        (departures("x"), departures("x"), departures("y"), False),  # what only b moves, and the target does not
        (departures("y"), departures("x"), departures("y"), False),
        (departures("y", "x"), departures("x"), departures("y"), True),
        (departures("y"), departures("xy"), departures("", "xy"), True),  # they may cancel
        (departures("y"), departures("", "xy"), departures("xy"), True),
        (departures("x"), None, departures("x"), False),
        (departures("x"), departures("x"), None, False),
    ],
)
def test_which_two_may_explain_a_case_together(target, a, b, together):
    found = could_be_both(target, [a, b])
    assert found[0, 1] == found[1, 0] == together


def test_two_that_do_not_act_on_each_other():
    a, b, x, y = departures("x"), departures("y"), {(0, "x")}, {(0, "y")}
    assert do_not_meet(a, b, x, y)
    assert not do_not_meet(a, b, set(), y)
    assert not do_not_meet(a, b, x, set())
    assert do_not_meet(departures("xy"), departures("", "x"), y, set())
    assert not do_not_meet(None, b, x, y)
    assert not do_not_meet(a, None, x, y)


def test_departures_are_clear_or_possible():
    found = Departures()
    for name, tolerances in (("sure", 1e3), ("open", 1.0), ("none", 1e-3)):
        found.add((0, name), tolerances)
    assert (found.clear, found.possible) == ({(0, "sure")}, {(0, "sure"), (0, "open")})
