"""How far what was observed is from what a mistake gives: by which yardstick, and what is not compared at all."""

from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest

from harness.cases.script import Step
from harness.diagnose import tuning
from harness.diagnose.misfit import Misfit, constant_channels, largest_finite, misfit
from harness.diagnose.replay import replayed
from harness.diagnose.side_by_side import end_to_end
from harness.diagnose.yardstick import bound_of, largest, law_channels, yardstick_of
from harness.judge.oracle import OracleLayer
from tests.played_by_hand import BOUND, CASE, X, off_by, played
from tests.small_evidence import D2L, A, B, case, known, play, with_dx_off

MISTAKE, RAISING = known("dgamma_not_normalized"), known("wrong_axis", 1)

# --- one array ---


def deviation(got, mistaken, want=X, dtype="float32", name="y", by_hand=CASE):
    made = played(("train", {name: (np.asarray(got), want)}), case=by_hand, dtype=dtype)
    return Misfit(made, 0, name, made.observation.steps[0].values[name], np.asarray(mistaken, np.float64))


@np.errstate(all="ignore")
def in_tolerances(got, mistaken, within=None, extra=None, **more):
    return deviation(got, mistaken, **more).in_tolerances(within, extra)


def test_a_deviation_counts_in_slack_times_the_bound():
    assert in_tolerances(X, X) == 0.0
    assert in_tolerances(X + BOUND, X) == pytest.approx(1 / tuning.SLACK)
    assert in_tolerances(X + 8 * BOUND, X) == pytest.approx(2.0, rel=1e-3)
    assert in_tolerances(X + 8 * BOUND, X, within=8.0) == 1.0
    assert in_tolerances(X + 8 * BOUND, X, extra=np.full(X.shape, BOUND)) == pytest.approx(1.0, rel=1e-3)


def test_the_bound_grows_with_what_the_mistake_makes_of_a_channel():
    assert in_tolerances(3 * X + 8 * BOUND, 3 * X) == pytest.approx(2 / 3, rel=1e-3)
    assert in_tolerances(X / 3 + 8 * BOUND, X / 3) == pytest.approx(2.0, rel=1e-3)  # and does not shrink


def test_what_is_of_the_values_own_size_is_infinitely_far():
    assert in_tolerances(X * 1.31, X) == np.inf
    assert in_tolerances(X * 1.29, X) < np.inf
    assert in_tolerances(np.where(X == 6.0, np.nan, X), X) == np.inf


def test_what_cannot_be_compared_and_what_has_another_shape():
    assert in_tolerances(X.T, X) == 0.0
    assert in_tolerances(X, X[:, :1]) == np.inf
    unheard = replace(deviation(X, 2 * X), name="unheard")
    assert unheard.in_tolerances() == 0.0
    assert in_tolerances(X[:0], X[:0], want=X[:0]) == 0.0


def test_a_channel_of_policy_is_not_compared():
    policy = replace(CASE, policy=(1,))
    assert in_tolerances(X + np.array([0, 5]), X, by_hand=policy) == 0.0
    assert in_tolerances(X + np.array([5, 0]), X, by_hand=policy) == np.inf


def test_what_is_infinite_on_both_sides_is_the_same():
    lost = np.where(X == 6.0, np.inf, X)
    assert in_tolerances(lost, lost + 0 * X) == 0.0
    assert in_tolerances(np.where(X == 6.0, np.nan, X), lost) == 0.0
    assert in_tolerances(X, lost) == np.inf
    beyond_float16 = np.where(X == 6.0, 7e4, X)
    assert in_tolerances(lost.astype(np.float16), beyond_float16, dtype="float16") == 0.0
    assert in_tolerances(lost, beyond_float16) == np.inf


def test_nothing_divided_by_nothing_is_open_in_a_constant_channel_alone():
    x = X.copy()
    x[:, 1] = 2.0
    step = Step("train", x, x)
    assert constant_channels(step, X).tolist() == [[False, True]]
    assert constant_channels(step, X[0]).tolist() == [False, True]
    assert constant_channels(step, np.ones((3, 3))).tolist() == np.zeros((3, 3), bool).tolist()
    assert not constant_channels(Step("restore"), X).any()
    made = played(("train", {"y": (X, X)}), x=x)
    lost = np.where([[False, True]] * 3, np.nan, X)
    assert Misfit(made, 0, "y", X, lost).same_or_open().tolist() == [[False, True]] * 3
    assert not Misfit(played("train"), 0, "y", X, lost).same_or_open().any()
    assert not Misfit(made, 0, "y", X, X).same_or_open().any()
    infinite = np.where([[False, True]] * 3, np.inf, X)
    assert not Misfit(made, 0, "y", X, infinite).same_or_open().any()


def test_the_largest_number_of_each_type():
    assert largest_finite(np.dtype(np.float16)) == 65504.0
    assert largest_finite(np.dtype(ml_dtypes.bfloat16)) == pytest.approx(3.39e38, rel=1e-3)
    assert largest_finite(np.dtype(np.int64)) == np.inf


# --- by what it is measured ---


def test_either_of_dgamma_and_dbeta_has_the_larger_bound():
    made = played(("train", {"dgamma": off_by(0.0, X[0]), "dbeta": off_by(0.0, X[0]), "y": off_by(0.0)}))
    expected = made.expected[0]
    expected.bounds["dbeta"] = np.array([1.0, 0.0])
    assert bound_of("dgamma", expected).tolist() == bound_of("dbeta", expected).tolist() == [1.0, BOUND]
    assert bound_of("y", expected) is expected.bounds["y"]
    del expected.bounds["dbeta"]
    assert bound_of("dgamma", expected).tolist() == [BOUND, BOUND]
    assert bound_of("dbeta", expected) is None


def test_without_a_bound_nothing_is_tolerated():
    made = played(("train", {"y": (X + 1e-6, X)}))
    made.expected[0].bounds.clear()
    yardstick = yardstick_of(made, "y", made.expected[0])
    assert yardstick.bound is None
    assert not yardstick.bounds_all
    assert yardstick.tolerance(X, largest(X), None).tolist() == np.zeros(X.shape).tolist()
    assert yardstick_of(made, "y", made.expected[0]) is yardstick  # kept


def test_where_the_bound_proves_nothing_all_is_tolerated():
    made = played(("train", {"y": (X, X)}))
    made.expected[0].bounds["y"] = np.array([[BOUND, 10.0]] * 3)
    yardstick = yardstick_of(made, "y", made.expected[0])
    assert not yardstick.proves_all
    tolerance = yardstick.tolerance(X, largest(X), None)
    assert np.isinf(tolerance).tolist() == [[False, True]] * 3
    assert yardstick.tolerance(X, largest(X), 2.0).tolist() == [[2 * BOUND, 20.0]] * 3
    much_larger = np.array([1.0, 1e5]) * X  # beside which the same bound does prove something
    assert np.isfinite(yardstick.tolerance(much_larger, largest(X), None)).all()


def test_a_result_in_16_bits_may_err_by_its_own_size():
    wide, narrow = (played(("train", {"y": (X, X), "dgamma": (X[0], X[0])}), dtype=dtype) for dtype in
                    ("float32", "bfloat16"))  # fmt: skip
    for made, rounds in ((wide, False), (narrow, True)):
        yardstick = yardstick_of(made, "y", made.expected[0])
        assert yardstick.rounds_results is rounds
        extra = yardstick.tolerance(X, largest(X), None) - tuning.SLACK * BOUND
        assert extra == pytest.approx(2.0**-8 * np.abs(X) if rounds else 0 * X)
    assert not yardstick_of(narrow, "dgamma", narrow.expected[0]).rounds_results


def test_law_lies_along_the_channels_at_every_rank():
    made = played("train", case=replace(CASE, policy=(1,)))
    for shape, of_law in (((2,), (2,)), ((3, 2), (1, 2)), ((3, 2, 4, 5), (1, 2, 1, 1))):
        law = law_channels(made, np.zeros(shape))
        assert law.shape == of_law
        assert law.ravel().tolist() == [True, False]


def test_the_largest_finite_value_of_each_channel():
    values = np.array([[1.0, np.inf], [-3.0, 2.0]])
    assert largest(values).tolist() == [[3.0, 2.0]]
    assert largest(np.array([1.0, -2.0])).tolist() == [1.0, 2.0]
    assert largest(np.zeros((0, 2))).tolist() == [[0.0, 0.0]]


def test_side_by_side_leaves_to_whole_arrays_what_is_not_clear():
    """Whatever can be told at once is told as the whole arrays would tell it."""
    for share in (0.0, 1e-7, 1e-6, 3e-5, 0.2, 0.5):
        made = with_dx_off(play(MISTAKE, A, "float32"), share)
        layer = type("NotAtOnce", (MISTAKE,), {})
        one_by_one = 0.0
        with np.errstate(all="ignore"):
            for number, values in enumerate(replayed(layer, made, D2L)):
                for name, got in made.observation.steps[number].values.items():
                    in_one = Misfit(made, number, name, got, values[name]).in_tolerances()
                    one_by_one = max(one_by_one, in_one)
        assert misfit(MISTAKE, made, D2L) == pytest.approx(one_by_one, rel=1e-9), share


def test_of_a_row_the_worst_element_alone_may_show_it():
    made = play(OracleLayer, A, "float64")
    row = end_to_end(made, 0)
    assert end_to_end(made, 0) is row  # kept while the same target is asked
    right = made.expected[0].values
    wrong = right | {"dx": right["dx"] * 2}
    assert row.beside(wrong).is_no_rounding(tuning.SLACK, scaled=True)
    assert not row.beside(right).is_no_rounding(tuning.SLACK, scaled=True)
    assert row.beside(wrong).by_observable()["y"] < 1 < row.beside(wrong).by_observable()["dx"]
    assert row.beside({name: value for name, value in right.items() if name != "dx"}) is None
    assert row.beside(right | {"dx": right["dx"].T}) is None
    lost = row.beside(right | {"dx": np.full_like(right["dx"], np.inf)})
    assert not lost.is_no_rounding(tuning.SLACK, scaled=True)
    other = replace(made, observation=play(MISTAKE, A, "float64").observation)
    assert end_to_end(other, 0) is not row


def test_a_row_never_says_more_than_whole_arrays():
    """Sizes from far below the bound to far above it: there the limits of both lie."""
    rng, said = np.random.default_rng(0), 0
    for trial in range(600):
        size, growth, off = 2.0 ** rng.uniform((-3, -4, -4), (8, 6, 6))
        want = size * BOUND * rng.normal(size=X.shape)
        mistaken = want * growth
        got = mistaken + np.where(rng.random(X.shape) < 0.5, off * BOUND * rng.normal(size=X.shape), 0)
        one = deviation(got, mistaken, want, dtype=("float64", "float32", "float16")[trial % 3])
        row = end_to_end(one.played, 0).beside({"y": mistaken})
        for slack, within in ((tuning.SLACK, None), (1.0, 1.0)):
            if row.is_no_rounding(slack, scaled=not within):
                said += 1
                assert one.in_tolerances(within) == np.inf, (trial, within)
    assert said > 100


def test_a_row_of_nothing():
    empty = deviation(np.zeros((0, 2)), np.zeros((0, 2)), np.zeros((0, 2)))
    assert end_to_end(empty.played, 0).beside({"y": np.zeros((0, 2))}) is None


def test_a_row_knows_no_better_in_a_channel_of_policy_or_where_no_bound_proves():
    policy = case("policy", policy=(0, 1, 2))
    made = play(OracleLayer, policy, "float64")
    wrong = made.expected[0].values | {"dx": made.expected[0].values["dx"] * 2}
    assert not end_to_end(made, 0).beside(wrong).is_no_rounding(tuning.SLACK, scaled=True)
    vague = play(OracleLayer, B, "float64")
    vague = replace(vague, expected=[replace(e, bounds=dict(e.bounds)) for e in vague.expected])
    vague.expected[0].bounds["dx"] = np.abs(vague.expected[0].values["dx"]).max() + 0 * vague.expected[0].bounds["dx"]
    wrong = vague.expected[0].values | {"dx": vague.expected[0].values["dx"] * 20}
    assert not end_to_end(vague, 0).beside(wrong).is_no_rounding(0.1, scaled=True)
    assert end_to_end(vague, 0).beside(wrong).is_no_rounding(0.1, scaled=False)
