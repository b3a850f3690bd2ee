"""The rules by which a result becomes a verdict, one at a time, on steps that are written out by hand."""

from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest

from harness.cases.case import Case
from harness.cases.script import Script, Step
from harness.judge.expected import Expected
from harness.judge.judge import conclusive, judge, place_of
from harness.judge.judgement import FAULTS, Judgement, Kind, Reason, Verdict, counts, overall
from harness.targets.player import Failure, FormError, Malformed, Observation, StepResult

X = np.array([[1.0, 2.0], [3.0, -4.0], [5.0, 6.0]])
CASE = Case("by_hand", "why", shape=X.shape, script=("train",))
BOUND = np.full(X.shape, 2.0**-10)
ERROR = Failure("ValueError", "no")
NAN, INF = float("nan"), float("inf")


def judged(values=None, expected=None, case=CASE, op="train", x=X, dtype="float64", **of_step):
    """The judgements of one step that gave `values` where `expected` was."""
    setup = case.make("float32", 0, 0.9).setups[0]
    script = Script((replace(setup, dtype=dtype),), (Step(op, x, x),))
    result = StepResult(op, 0, values or {}, **of_step)
    return judge(case, script, [expected or expecting()], Observation([result]))


def expecting(y=X, bound=BOUND, **more):
    return Expected({"y": np.asarray(y)}, {"y": np.asarray(bound)}, **more)


def moved(*changes, start=X):
    """`start` with other numbers at some places."""
    y = start.copy()
    for place, value in changes:
        y[place] = value
    return {"y": y}


def only(judgements) -> Judgement:
    (judgement,) = judgements
    return judgement


def outcome(judgement):
    return judgement.kind.value, judgement.verdict.value, judgement.reason.value, judgement.message


# --- numbers ---


def test_what_is_measured():
    judgement = only(judged(moved(((1, 1), -4.0 + 2.0**-8), ((0, 0), 1.0 - 2.0**-9))))
    assert outcome(judgement) == ("law", "differ", "beyond_bound", None)
    assert (judgement.case, judgement.dtype, judgement.step, judgement.op) == ("by_hand", "float64", 0, "train")
    assert (judgement.observable, judgement.index) == ("y", (1, 1))
    assert (judgement.got, judgement.want) == (-4.0 + 2.0**-8, -4.0)
    assert (judgement.error, judgement.bound, judgement.ratio) == (2.0**-8, 2.0**-10, 4.0)
    assert (judgement.beyond, judgement.elements, judgement.largest_error) == (2, 6, 2.0**-8)
    assert judgement.inconclusive_channels == 0


def test_the_worst_place_is_that_of_the_greatest_ratio_and_the_greatest_error_may_be_elsewhere():
    bound = BOUND.copy()
    bound[2, 0] = 2.0**-12
    judgement = only(judged(moved(((2, 0), 5 + 2.0**-11), ((0, 1), 2 + 2.0**-10)), expecting(bound=bound)))
    assert (judgement.index, judgement.ratio, judgement.error) == ((2, 0), 2.0, 2.0**-11)
    assert (judgement.largest_error, judgement.beyond) == (2.0**-10, 1)


@pytest.mark.parametrize(
    ("off", "verdict", "beyond"),
    [(0.0, "agree", 0), (2.0**-10, "agree", 0), (np.nextafter(2.0**-10, 1), "differ", 1)],
)
def test_a_bound_may_be_reached_and_not_exceeded(off, verdict, beyond):
    start = np.array([[0.0, 1.0], [1.0, 1.0]])
    case = replace(CASE, shape=start.shape)
    judgement = only(judged(moved(((0, 0), off), start=start), expecting(start, np.full((2, 2), 2.0**-10)), case))
    assert (judgement.verdict, judgement.beyond) == (verdict, beyond)


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_no_number_where_one_is_expected(bad):
    judgement = only(judged(moved(((2, 1), bad))))
    assert outcome(judgement) == ("law", "differ", "not_finite", "not finite where a finite number is expected")
    assert (judgement.index, judgement.ratio, judgement.beyond) == ((2, 1), INF, 1)


@pytest.mark.parametrize("same", [NAN, INF, -INF])
def test_what_is_no_number_on_both_sides_is_not_compared(same):
    want = moved(((0, 0), same))["y"]
    judgement = only(judged({"y": want.copy()}, expecting(want)))
    assert outcome(judgement) == ("law", "agree", "within_bound", None)
    assert (judgement.ratio, judgement.elements) == (0.0, 3)  # the channel has no RMS: nothing proves anything there


def test_a_number_where_none_is_expected_decides_nothing():
    judgement = only(judged(moved(((0, 0), 3.0)), expecting(moved(((0, 0), INF))["y"])))
    assert (judgement.verdict, judgement.elements) == ("agree", 3)


def test_beside_what_is_no_number_a_deviation_still_counts():
    got, want = moved(((0, 0), NAN), ((2, 0), 5.1))["y"], moved(((0, 0), NAN))["y"]
    judgement = only(judged({"y": got}, expecting(want)))
    assert (judgement.verdict, judgement.index, judgement.elements) == ("differ", (2, 0), 4)


def test_a_bound_of_zero_is_met_by_the_very_number_alone():
    exact = expecting(bound=np.zeros(X.shape))
    assert only(judged({"y": X.copy()}, exact)).verdict == "agree"
    judgement = only(judged(moved(((1, 0), np.nextafter(3.0, 4))), exact))
    assert (judgement.verdict, judgement.ratio, judgement.index) == ("differ", INF, (1, 0))


def test_a_missing_bound_is_zero():
    without = Expected({"y": X}, {})
    assert only(judged({"y": X.copy()}, without)).verdict == "agree"
    assert only(judged(moved(((0, 0), 1.0 + 1e-9)), without)).verdict == "differ"


def test_a_result_of_sixteen_bits_is_compared_in_the_oracles_type():
    x = X.astype(ml_dtypes.bfloat16)
    judgement = only(judged({"y": x.copy()}, x=x, dtype="bfloat16"))
    assert (judgement.verdict, judgement.ratio) == ("agree", 0.0)


# --- bounds that prove nothing ---


def test_where_no_bound_proves_anything_the_verdict_is_open():
    judgement = only(judged(moved(((0, 0), 1.5)), expecting(bound=np.full(X.shape, 1.0))))
    assert outcome(judgement) == ("law", "inconclusive", "bound_too_wide", None)
    assert (judgement.ratio, judgement.index, judgement.elements) == (0.5, (0, 0), 6)
    assert judgement.inconclusive_channels == 2


def test_beyond_a_wide_bound_there_is_something_to_conclude():
    judgement = only(judged(moved(((0, 0), 3.0)), expecting(bound=np.full(X.shape, 1.0))))
    assert (judgement.verdict, judgement.reason, judgement.ratio) == ("differ", "beyond_bound", 2.0)
    assert (judgement.elements, judgement.inconclusive_channels) == (1, 1)


def test_a_channel_without_a_proof_is_counted_and_left_out():
    bound = BOUND.copy()
    bound[:, 0] = 1.0
    judgement = only(judged(moved(((0, 0), 1.5), ((0, 1), 2 + 2.0**-11)), expecting(bound=bound)))
    assert (judgement.verdict, judgement.index, judgement.ratio) == ("agree", (0, 1), 0.5)
    assert (judgement.elements, judgement.inconclusive_channels, judgement.largest_error) == (3, 1, 2.0**-11)


def test_an_infinite_bound_is_never_exceeded():
    bound = BOUND.copy()
    bound[0, 0] = INF
    judgement = only(judged(moved(((0, 0), 99.0)), expecting(bound=bound)))
    assert (judgement.verdict, judgement.elements) == ("agree", 5)


def test_no_number_within_a_wide_bound_is_still_none():
    judgement = only(judged(moved(((0, 0), NAN)), expecting(bound=np.full(X.shape, 1.0))))
    assert (judgement.verdict, judgement.reason) == ("differ", "not_finite")


@pytest.mark.parametrize(
    ("bound", "want", "u", "proves"),
    [
        ([0.03, 0.031], [3.0, 3.0], 2.0**-24, [True, False]),  # of one number a channel, which is its RMS
        ([[0.01 * 5**0.5]] * 2, [[1.0], [3.0]], 2.0**-24, [[True], [True]]),  # RMS of 1 and 3
        ([[0.0101 * 5**0.5]] * 2, [[1.0], [3.0]], 2.0**-24, [[False], [False]]),
        ([2.0**-4, 2.0**-3], [1.0, 1.0], 2.0**-7, [True, False]),  # eight roundoffs of 2^-7 are more than 1e-2
        ([0.0, 1e-30], [0.0, 0.0], 2.0**-24, [True, False]),  # of zeros, nothing but an exact bound
        ([1e298, 1e299], [1e300, 1e300], 2.0**-53, [True, False]),  # squares would overflow
        ([1e-302], [-1e-300], 2.0**-53, [True]),
        ([NAN, 1e-30], [1.0, NAN], 2.0**-53, [False, False]),
    ],
)
def test_when_a_bound_proves_something(bound, want, u, proves):
    with np.errstate(all="ignore"):
        assert conclusive(np.array(bound), np.array(want), u).tolist() == proves


def test_the_rms_is_that_of_the_channel_over_all_other_axes():
    want = np.zeros((2, 2, 3))
    want[:, 0], want[:, 1] = 100.0, 1.0
    proves = conclusive(np.full(want.shape, 0.5), want, 2.0**-24)
    assert proves[:, 0].all()
    assert not proves[:, 1].any()


# --- law and policy ---


def test_channels_of_policy_are_judged_apart():
    judgements = judged(moved(((0, 0), 9.0), ((2, 1), 6 + 2.0**-11)), case=replace(CASE, policy=(0,)))
    law, policy = judgements
    assert outcome(law) == ("law", "agree", "within_bound", None)
    assert (law.index, law.elements) == ((2, 1), 3)
    assert outcome(policy) == ("policy", "noted", "beyond_bound", None)
    assert (policy.index, policy.elements, policy.beyond) == ((0, 0), 3, 1)


def test_a_case_of_policy_has_no_law():
    judgement = only(judged(moved(((0, 0), 9.0)), case=replace(CASE, policy="all")))
    assert outcome(judgement) == ("policy", "noted", "beyond_bound", None)
    assert place_of(replace(CASE, policy="all"), "float32").kind is Kind.policy
    assert place_of(CASE, "float32").kind is Kind.law


def test_policy_agrees_as_law_does():
    assert only(judged({"y": X.copy()}, case=replace(CASE, policy="all"))).verdict == "agree"


def test_what_nobody_declares_is_policy():
    judgement = only(judged(moved(((0, 0), 9.0)), expecting(undeclared=True)))
    assert (judgement.kind, judgement.verdict) == ("policy", "noted")


@pytest.mark.parametrize(("op", "kind"), [("train", "policy"), ("train_no_grad", "policy"), ("eval", "law")])
def test_an_unbiased_variance_of_one_value_is_policy(op, kind):
    expected = Expected({"moving_var": np.array([NAN, 1.0])}, {"moving_var": np.full(2, 2.0**-10)})
    case = replace(CASE, shape=(1, 2))
    judgements = judged({"moving_var": np.array([NAN, 1.0])}, expected, case, op, X[:1])
    assert {judgement.kind.value for judgement in judgements} == {kind}


def test_a_finite_variance_of_one_value_is_law():
    expected = Expected({"moving_var": np.ones(2)}, {"moving_var": np.full(2, 2.0**-10)})
    case = replace(CASE, shape=(1, 2))
    assert only(judged({"moving_var": np.ones(2)}, expected, case, x=X[:1])).kind == "law"
    assert only(judged({"moving_mean": np.ones(2)}, Expected({"moving_mean": np.ones(2)}, {}), x=X[:1])).kind == "law"


# --- form ---


@pytest.mark.parametrize(
    ("got", "reason", "message"),
    [
        (X.T, "wrong_shape", r"expected shape (3, 2) (channels on axis 1), got (2, 3)"),
        (X.astype(np.float32), "wrong_dtype", "expected dtype float64, got float32"),
    ],
)
def test_a_result_of_another_form(got, reason, message):
    judgement = only(judged({"y": got}))
    assert outcome(judgement) == ("law", "differ", reason, message)
    assert judgement.observable == "y"
    assert judgement.ratio is None


@pytest.mark.parametrize(
    ("dtype", "fits"), [(np.float64, True), (np.float16, True), (ml_dtypes.bfloat16, True), (np.int64, False)]
)
def test_parameters_may_have_any_float_dtype(dtype, fits):
    expected = Expected({"dbeta": np.array([1.0, 2.0])}, {"dbeta": np.full(2, 2.0**-10)})
    judgement = only(judged({"dbeta": np.array([1.0, 2.0]).astype(dtype)}, expected))
    message = None if fits else "expected a floating-point array, got int64"
    assert outcome(judgement) == ("law", *(("agree", "within_bound") if fits else ("differ", "wrong_dtype")), message)


def test_a_step_without_input_asks_for_no_dtype():
    expected = Expected({"moving_mean": np.ones(2)}, {"moving_mean": np.full(2, 2.0**-10)})
    judgement = only(judged({"moving_mean": np.ones(2, np.float32)}, expected, op="restore", x=None))
    assert judgement.verdict == "agree"


def test_nothing_is_compared_in_an_empty_array():
    empty = np.zeros((0, 2))
    expected = Expected({"y": empty}, {"y": empty})
    judgement = only(judged({"y": empty}, expected, replace(CASE, shape=(0, 2)), x=empty))
    assert outcome(judgement) == ("law", "agree", "nothing_to_compare", None)
    assert (judgement.observable, judgement.elements) == ("y", 0)


@pytest.mark.parametrize("error", FormError)
def test_a_malformed_result_is_judged_as_far_as_it_goes(error):
    form, values = judged({"y": X.copy()}, malformed=Malformed(error, "what it is"))
    assert outcome(form) == ("law", "differ", error.value, "what it is")
    assert (form.observable, form.step, values.verdict) == (None, 0, "agree")


# --- what could not be compared ---


def test_what_the_target_cannot_do():
    assert outcome(only(judged(unsupported="no training"))) == (
        "law", "unsupported", "not_implemented", "no training")  # fmt: skip
    build = judge(CASE, CASE.make("float32", 0, 0.9), [], Observation(build_unsupported="no float32"))
    assert outcome(only(build)) == ("law", "unsupported", "not_implemented", "no float32")


@pytest.mark.parametrize(("may_refuse", "kind", "verdict"), [(False, "law", "raised"), (True, "policy", "noted")])
def test_an_exception_is_no_fault_where_it_is_allowed(may_refuse, kind, verdict):
    case = replace(CASE, may_refuse=may_refuse)
    assert outcome(only(judged(case=case, error=ERROR))) == (kind, verdict, "step_failed", "ValueError: no")
    build = judge(case, case.make("float32", 0, 0.9), [], Observation(build_error=ERROR))
    assert outcome(only(build)) == (kind, verdict, "build_failed", "ValueError: no")
    assert only(build).step is None


def test_an_exception_in_a_case_of_policy_is_noted():
    assert only(judged(case=replace(CASE, policy="all"), error=ERROR)).verdict == "noted"


def test_a_refusal_that_is_declared():
    refusal = Expected(raises=True)
    assert outcome(only(judged(expected=refusal, error=ERROR))) == (
        "law", "agree", "refused_as_declared", "ValueError: no")  # fmt: skip
    assert outcome(only(judged({"y": X.copy()}, refusal))) == (
        "law", "differ", "not_refused", "one value per channel: an error is declared, a result came")  # fmt: skip


def test_what_is_not_given_and_what_there_is_not():
    missing, absent = judged({}, expecting(absent=("dgamma",)))
    assert outcome(missing) == ("law", "unsupported", "not_given", "train gave no y")
    assert outcome(absent) == (
        "law", "unsupported", "built_without", "the layer is built without what dgamma belongs to")  # fmt: skip
    assert (missing.observable, absent.observable) == ("y", "dgamma")


def test_an_input_that_was_modified_counts_even_under_policy():
    of_x, of_dy, of_y = judged({"y": X.copy()}, case=replace(CASE, policy="all"), mutated=("x", "dy"))
    assert outcome(of_x) == ("law", "differ", "input_modified", "the input x was modified")
    assert outcome(of_dy) == ("law", "differ", "input_modified", "the input dy was modified")
    assert of_y.kind == "policy"


def test_an_attempt_to_modify_an_input_is_the_failure_itself():
    judgement = only(judged(mutated=("x",), error=ERROR))
    assert outcome(judgement) == ("law", "raised", "input_modified", "the input x was modified: ValueError: no")


def test_replicas_that_disagree():
    replicas, values = judged({"y": X.copy()}, replicas_disagree="moving_mean of replica 1")
    assert outcome(replicas) == ("law", "differ", "replicas_disagree", "moving_mean of replica 1")
    assert values.verdict == "agree"


def test_steps_are_numbered_and_judged_as_far_as_they_were_made():
    script = replace(CASE, script=("train", "eval")).make("float64", 0, 0.9)
    results = [StepResult("train", 0, {"y": X.copy()}), StepResult("eval", 0, error=ERROR)]
    first, second = judge(CASE, script, [expecting(), expecting(), expecting()], Observation(results))
    assert (first.step, first.op, first.verdict) == (0, "train", "agree")
    assert (second.step, second.op, second.verdict) == (1, "eval", "raised")


# --- verdicts ---


def law(verdict, kind=Kind.law):
    return Judgement("c", "float32", 0, "train", "y", kind, verdict, Reason.within_bound)


WORST_FIRST = ("crashed", "timed_out", "differ", "raised", "known", "agree", "inconclusive", "not_run", "unsupported")


@pytest.mark.parametrize("place", range(len(WORST_FIRST)))
def test_a_target_is_as_good_as_its_worst_judgement(place):
    judgements = [law(Verdict(verdict)) for verdict in reversed(WORST_FIRST[place:])]
    assert overall(judgements) == WORST_FIRST[place]


def test_policy_makes_no_verdict():
    assert overall([law(Verdict.differ, Kind.policy), law(Verdict.agree)]) is Verdict.agree
    assert overall([law(Verdict.differ, Kind.policy)]) is Verdict.unsupported
    assert overall([]) is Verdict.unsupported


@pytest.mark.parametrize("verdict", Verdict)
def test_what_counts_against_a_target(verdict):
    assert law(verdict).counts_against is (verdict in ("crashed", "timed_out", "differ", "raised"))
    assert not law(verdict, Kind.policy).counts_against
    assert (verdict in FAULTS) == law(verdict).counts_against


def test_verdicts_are_counted():
    assert counts([law(Verdict.agree), law(Verdict.agree), law(Verdict.known)]) == {
        "agree": 2, "differ": 0, "raised": 0, "inconclusive": 0, "unsupported": 0, "crashed": 0, "timed_out": 0,
        "not_run": 0, "noted": 0, "known": 1}  # fmt: skip


def test_a_judgement_as_a_record():
    record = only(judged({"y": X.copy()})).as_dict()
    assert (record["case"], record["verdict"], record["kind"]) == ("by_hand", "agree", "law")
    assert only(judged({"y": X.copy()})).direction == "forward"
    assert replace(only(judged({"y": X.copy()})), observable=None).direction is None
