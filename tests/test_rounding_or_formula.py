"""What tells a mistake of rounding from a wrong formula, sign by sign, on arrays that are written out."""

from dataclasses import replace

import numpy as np
import pytest

from harness.diagnose import rounding
from harness.diagnose.deviations import deviations
from harness.diagnose.rounding import (
    Errors,
    are_of_a_weight,
    are_rounding,
    errors_are_of_its_size,
    errors_are_one_sided,
    factors_of_movement,
    is_far_from_zero,
    is_representable,
    show_far_from_zero,
    shrink_with_roundoff,
    statistics_are_wrong_in_both,
)
from tests.played_by_hand import BOUND, CASE, X, failed, off_by, played, times

NEAR, FAR = X, X + 1e4


def with_failures(case, *wrong):
    case.judgements.extend(failed(case.case.id, case.dtype, name, op=op) for op, name in wrong)
    return case


# --- a mean far from zero ---


@pytest.mark.parametrize(
    ("op", "x", "is_far"),
    [
        ("train", NEAR, False),
        ("train", FAR, True),
        ("train_double", FAR, True),
        ("train_jvp", FAR, True),
        ("eval", FAR, False),
        ("restore", FAR, False),
        ("train", np.full((3, 2), 1e4), False),  # constant
        ("train", np.array([[0.0, 99.0], [1.0, 101.0]]), True),  # 100 standard deviations in one channel
        ("train", np.array([[0.0, 48.0], [1.0, 50.0]]), False),  # 49 of them
        ("train", np.array([[0.0, np.inf], [1.0, 1.0]]), False),
        ("train", np.zeros((0, 2)), False),
    ],
)
def test_a_mean_far_from_zero(op, x, is_far):
    assert is_far_from_zero(played(op, x=x)) is is_far


def test_it_must_show_far_from_zero_where_that_was_played():
    near = with_failures(played(("train", {"y": off_by(1.0)}), x=NEAR), ("train", "y"))
    far, far_in_float64 = played("train", x=FAR), played("train", x=FAR, dtype="float64")
    assert not show_far_from_zero([near], [near, far])
    assert show_far_from_zero([near], [near, far_in_float64])  # nothing of the type that fails
    assert show_far_from_zero([near, with_failures(far, ("train", "moving_var"))], [near, far])


def test_sums_of_gradients_are_wrong_alike():
    both = {"dgamma": off_by(1.0, X[0]), "dbeta": off_by(1.0, X[0])}
    case, far = played(("train", both)), played("train", x=FAR)
    assert not show_far_from_zero([with_failures(case, ("train", "dgamma"))], [case, far])
    assert show_far_from_zero([with_failures(case, ("train", "dbeta"))], [case, far])
    alone = with_failures(played(("train", {"dgamma": off_by(1.0, X[0])})), ("train", "dgamma"))
    assert show_far_from_zero([alone], [alone, far])


# --- of a weight ---

WIDE = np.array([1.0, 2.0, 3.0, -4.0])
UNEVEN = np.array([1.0, 2.0, 4.0, -4.0])


def moved(*gots, name="moving_mean", op="train"):
    """A case of four channels whose statistic starts at 0 and should become 1, 2, 3, -4 in a step, or what is given."""
    pairs = [got if isinstance(got, tuple) else (got, WIDE) for got in gots]
    case = played(*[(op, {name: pair}) for pair in pairs], x=np.ones((3, 4)), case=replace(CASE, shape=(3, 4)))
    setups = tuple(replace(setup, moving_mean=np.zeros(4), moving_var=np.zeros(4)) for setup in case.script.setups)
    return replace(case, script=replace(case.script, setups=setups))


def test_how_much_too_far_a_statistic_moved():
    assert list(factors_of_movement(moved(2 * WIDE))) == [2.0]
    assert list(factors_of_movement(moved(0.5 * WIDE, name="moving_var"))) == [0.5]
    assert list(factors_of_movement(moved(UNEVEN))) == [None]
    assert list(factors_of_movement(moved(WIDE))) == []
    assert list(factors_of_movement(moved(2 * WIDE, op="eval"))) == [None]  # prediction moves nothing


def test_only_the_first_step_that_is_wrong_counts():
    assert list(factors_of_movement(moved(WIDE, WIDE + 3, 9 * WIDE))) == [None]  # from where it was to where it stays
    assert list(factors_of_movement(moved(2 * WIDE, UNEVEN))) == [2.0]
    assert list(factors_of_movement(moved(WIDE, (3 * WIDE, 2 * WIDE)))) == [2.0]  # from where it should have been


def test_what_restoring_moves_is_of_no_weight():
    case = moved(WIDE)
    of_restoring = ("restore", {"moving_mean": (2 * WIDE, WIDE)})
    restored = played(of_restoring, ("train", {"moving_mean": (2 * WIDE, WIDE)}), x=np.ones((3, 4)))
    assert (
        list(factors_of_movement(replace(restored, script=replace(restored.script, setups=case.script.setups)))) == []
    )
    lacking = moved(WIDE[:3])
    assert list(factors_of_movement(lacking)) == []


def test_a_wrong_weight_is_one_factor_in_each_statistic():
    assert are_of_a_weight([moved(2 * WIDE), moved(0.5 * WIDE, name="moving_var")])
    assert not are_of_a_weight([moved(2 * WIDE), moved(UNEVEN)])
    assert not are_of_a_weight([moved(WIDE)])


# --- fewer bits ---


def deviating(got, want):
    return list(deviations([played(("train", {"y": (got, want)}))]))


def test_a_number_of_a_narrow_type():
    want = np.full((3, 2), 1.0)
    assert is_representable(deviating(want + 2.0**-7, want), "bfloat16")
    assert not is_representable(deviating(want + 2.0**-9, want), "bfloat16")
    assert is_representable(deviating(want + 2.0**-9, want), "float16")
    within = want.copy()
    within[0, 0] += BOUND / 2  # within its bound: that one says nothing
    within[1, 1] = 1.5
    assert is_representable(deviating(within, want), "bfloat16")


def both_types(narrow_error, wide_error):
    narrow = played(("train", {"y": off_by(narrow_error)}))
    wide = played(("train", {"y": off_by(wide_error)}), dtype="float64")
    for of_step in wide.expected:
        of_step.bounds["y"] = of_step.bounds["y"] * 2.0**-29
    return narrow, wide


def test_errors_of_rounding_shrink_in_a_wider_type():
    for wide_error, shrinks in ((1.0, False), (2.0**-10, False), (2.0**-16, True), (0.0, True)):
        narrow, wide = both_types(1.0, wide_error)
        assert shrink_with_roundoff(Errors([narrow], [narrow, wide])) is shrinks, wide_error


def test_only_the_same_step_of_the_same_case_is_compared():
    narrow, wide = both_types(1.0, 1.0)
    other = replace(wide, case=replace(CASE, id="other"))
    assert shrink_with_roundoff(Errors([narrow], [narrow, other]))
    assert shrink_with_roundoff(Errors([narrow], [narrow]))
    slight = played(("train", {"y": off_by(2 * BOUND)}))
    coarser = played(("train", {"y": off_by(2.0)}), dtype="bfloat16")
    assert shrink_with_roundoff(Errors([slight], [slight, coarser]))  # a coarser type may err by as much as it likes


def test_what_fails_is_not_taken_twice():
    narrow, wide = both_types(1.0, 1.0)
    assert [d.played for d in Errors([narrow], [narrow, wide]).of_all] == [narrow, wide]


# --- both statistics ---

GIVEN = {name: off_by(1.0, X[0]) for name in ("moving_mean", "moving_var")}
WITH_Y = GIVEN | {"y": off_by(1.0)}


@pytest.mark.parametrize(
    ("given", "wrong", "narrow", "answer"),
    [
        (WITH_Y, ["y"], "float16", False),  # y, and neither statistic
        (WITH_Y, ["y", "moving_mean"], "float16", True),
        (WITH_Y, ["y", "moving_mean"], "float32", False),  # float64 in float32 has neither right
        (WITH_Y, ["y", "moving_mean", "moving_var"], "float32", True),
        (WITH_Y, ["moving_mean", "moving_var"], "float16", False),  # y would show it
        (WITH_Y, ["moving_mean", "moving_var", "dx"], "float16", True),
        (GIVEN, ["moving_mean", "moving_var"], "float16", True),
        ({"y": off_by(1.0)}, ["y"], "float16", True),
        (WITH_Y, ["dgamma"], "float16", True),
    ],
)
def test_wrong_statistics_spoil_both_y_and_the_averages(given, wrong, narrow, answer):
    case = with_failures(played(("train", given)), *(("train", name) for name in wrong))
    assert statistics_are_wrong_in_both([case], narrow) is answer


def test_y_in_its_own_16_bits_may_not_show_it():
    case = with_failures(played(("train", WITH_Y), dtype="bfloat16"), ("train", "moving_mean"), ("train", "moving_var"))
    assert statistics_are_wrong_in_both([case], "float16")


# --- to one side ---


def sided(*errors, name="moving_mean", start=5.0):
    """A case of many steps, the error of each step's two channels given."""
    want = np.array([start, -start])
    return played(*[("train", {name: (want + np.sign(want) * error, want)}) for error in errors])


def to_one_side(*cases, wider=2.0**7):
    """Beside an envelope whose bounds are so wide."""
    return errors_are_one_sided([(case, widened(case, wider)) for case in cases])


def widened(case, bound):
    expected = [
        replace(e, bounds={name: np.full(b.shape, bound) for name, b in e.bounds.items()}) for e in case.expected
    ]
    return replace(case, expected=expected)


def test_errors_to_one_side():
    assert to_one_side(sided(*[1.0] * 15))  # thirty
    assert to_one_side(sided(*[-1.0] * 15, name="moving_var"))
    assert not to_one_side(sided(*[1.0] * 14))
    assert not to_one_side(sided(*[1.0] * 15, *[-1.0] * 2))
    assert not to_one_side(sided(*[1.0] * 14, *[BOUND / 2] * 20))  # within their bounds
    assert not to_one_side(sided(*[BOUND] * 15))
    assert to_one_side(sided(*[1.0] * 8), sided(*[1.0] * 8))


def test_a_variance_by_a_wrong_mean_errs_to_one_side_anyhow():
    of_var, of_mean = sided(*[1.0] * 15, name="moving_var"), sided(1.0)
    assert not to_one_side(of_var, of_mean)
    assert to_one_side(of_var, of_mean, wider=2.0**9)  # a mean that errs by so little does not make it so


def test_what_is_infinite_on_both_sides_is_no_error():
    assert not to_one_side(sided(*[1.0] * 20, start=np.inf))
    case = sided(*[1.0] * 15)
    for result in case.observation.steps:
        result.values["moving_mean"] = result.values["moving_mean"][:1]
    assert not to_one_side(case)


# --- of its size ---


def test_an_error_far_inside_a_wider_bound_is_of_another_size():
    case = played(("train", {"y": off_by(1.0), "dx": off_by(BOUND / 2)}))
    for bound, answer in ((2.0**7, True), (2.0**9, False)):
        assert errors_are_of_its_size([(case, widened(case, bound))]) is answer
    assert not errors_are_of_its_size([(case, widened(case, 2.0**7))], among=("dx",))
    narrow_in_dx = [replace(case.expected[0], bounds={"y": np.full((3, 2), 2.0**9), "dx": np.full((3, 2), BOUND)})]
    assert not errors_are_of_its_size([(case, replace(case, expected=narrow_in_dx))])  # dx is within its own bound


# --- all of it ---


def test_what_is_no_rounding(monkeypatch):
    """One constant factor; or one weight; or numbers of no narrow type that do not shrink."""
    long = np.arange(1.0, 13.0).reshape(6, 2)
    assert not are_rounding(Errors([played(("train", {"y": times(2.0, long)}))], []), "bfloat16")
    assert not are_rounding(Errors([moved(2 * WIDE)], []), "bfloat16")
    narrow_numbers = played(("train", {"y": (np.full((3, 2), 1.0), np.linspace(1.1, 1.2, 6).reshape(3, 2))}))
    assert are_rounding(Errors([narrow_numbers], [narrow_numbers]), "bfloat16")
    others = played(("train", {"y": (X + np.linspace(0.1, 0.2, 6).reshape(3, 2), X)}))
    assert are_rounding(Errors([others], [others]), "bfloat16")
    for rule in ("shrink_with_roundoff", "statistics_are_wrong_in_both", "show_far_from_zero"):
        with monkeypatch.context() as patch:
            patch.setattr(rounding, rule, lambda *_: False)
            assert not are_rounding(Errors([others], [others]), "bfloat16"), rule
