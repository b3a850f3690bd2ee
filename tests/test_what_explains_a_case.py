"""Does a mistake explain the cases? Which are asked first, what is asked of it, and what a replay is."""

from dataclasses import replace

import numpy as np
import pytest

from harness.cases.script import Step
from harness.diagnose import evidence as evidence_module
from harness.diagnose import misfit as misfit_module
from harness.diagnose import replay, tuning
from harness.diagnose.evidence import Evidence, agrees, input_size
from harness.diagnose.misfit import fits, misfit
from harness.diagnose.mistakes.gradient_factors import times
from harness.diagnose.replay import Nudge, Replay, off_centre, replayed, sensitivity
from harness.diagnose.suspects import Suspect
from harness.judge.judgement import Verdict
from harness.judge.oracle import OracleLayer
from harness.targets.player import Observation, StepResult
from tests.played_by_hand import CASE, RAISES, X, failed, played
from tests.small_evidence import D2L, A, B, Target, case, evidence, known, play, with_dx_off

MISTAKE, RAISING = known("dgamma_not_normalized"), known("wrong_axis", 1)

# --- a whole case ---


def test_the_worst_of_all_that_was_observed():
    right, wrong = play(OracleLayer, A, "float64"), play(MISTAKE, A, "float64")
    assert misfit(OracleLayer, right, D2L) <= 1 / tuning.SLACK
    assert misfit(MISTAKE, wrong, D2L) <= 1 / tuning.SLACK
    assert misfit(OracleLayer, wrong, D2L) == misfit(MISTAKE, right, D2L) == np.inf
    assert fits(MISTAKE, wrong, D2L)
    assert not fits(MISTAKE, right, D2L)


def test_one_observable_of_one_operation_alone():
    wrong = play(MISTAKE, A, "float64")
    assert fits(OracleLayer, wrong, D2L, only=("train", "y"))
    assert not fits(OracleLayer, wrong, D2L, only=("eval", "dgamma"))
    in_training = play(Target(change=lambda op, name, a: a + (op == "train" and name == "y")), A, "float64")
    assert not fits(OracleLayer, in_training, D2L, only=("train", "y"))
    assert fits(OracleLayer, in_training, D2L, only=("eval", "y"))
    broken_off = played(("eval", {"y": (X, X)}), ("train", RAISES))
    assert fits(OracleLayer, broken_off, D2L, only=("train", "y"))


def test_an_exception_must_be_on_both_sides():
    right, raising = play(OracleLayer, A, "float64"), play(RAISING, A, "float64")
    assert raising.raised
    assert misfit(RAISING, raising, D2L) == 0.0
    assert misfit(RAISING, right, D2L) == misfit(OracleLayer, raising, D2L) == np.inf
    unsupported = replace(right, observation=Observation([StepResult("train", 0, unsupported="not here")]))
    assert misfit(RAISING, unsupported, D2L) == 0.0


def test_a_mistakes_own_sensitivity_to_rounding_counts(monkeypatch):
    made = with_dx_off(play(MISTAKE, A, "float32"), 3e-5)
    assert 1 < misfit(MISTAKE, made, D2L) < np.inf
    asked = []

    def sensitive(layer, *_):
        asked.append(layer)
        return [{"dx": np.abs(result.values["dx"]) * 1e-3} for result in made.observation.steps]

    monkeypatch.setattr(misfit_module, "sensitivity", sensitive)
    assert fits(MISTAKE, made, D2L)
    assert not fits(MISTAKE, made, D2L, within=4.0)  # an envelope has it in its bounds
    assert asked == [MISTAKE]
    assert not fits(OracleLayer, made, D2L)
    assert asked == [MISTAKE]  # which is too far off for any rounding


# --- the cases to explain ---


def test_the_worst_failure_comes_first_and_of_equals_the_smaller():
    small, large = (case(name, shape=shape) for name, shape in (("small", (5, 3)), ("large", (6, 3))))
    right, slight = play(OracleLayer, A, "float64"), played("train", wrong=(0,), case=replace(CASE, id="slight"))
    slight.judgements[0] = replace(slight.judgements[0], ratio=2.0)
    raised = [play(RAISING, large, "float64"), play(RAISING, small, "float64")]
    made = Evidence([right, *raised, slight, play(MISTAKE, B, "float64")], D2L)
    assert [p.case.id for p in made.played] == ["b", "slight", "small", "large", "a"]


def test_what_the_oracle_explains_with_leniency_does_not_fail():
    within, beyond = (with_dx_off(play(Target(), A, "float32"), share) for share in (3e-6, 1e-3))
    assert not agrees(within)
    assert Evidence([within, beyond], D2L).failing == [beyond]
    assert not agrees(played("train"))  # nothing was compared
    half = play(OracleLayer, A, "float64")
    half.judgements[0] = replace(half.judgements[0], verdict=Verdict.inconclusive)
    assert not agrees(half)


def test_a_condition_that_does_not_hold_leaves_a_case_to_the_oracle():
    made = evidence(Target(MISTAKE, lambda made, _: made is A))
    (wrong,), right = made.failing, made.played[1]
    suspect = Suspect(("x",), (MISTAKE,), holds=lambda case: case.case is A)
    assert made.fits(suspect, wrong)
    assert made.fits(suspect, right)
    assert made.explained_by(suspect)
    other_way = replace(suspect, holds=lambda case: case.case is B)
    assert not made.fits(other_way, wrong)
    assert not made.fits(other_way, right)
    assert not made.explained_by(replace(suspect, holds=None))


def test_an_exception_on_both_sides_shows_nothing():
    made = evidence(RAISING)
    assert all(made.fits(Suspect(("x",), (RAISING,)), case) for case in made.played)
    assert not made.explained_by(Suspect(("x",), (RAISING,)))


def test_a_mistake_must_leave_less_than_there_was(monkeypatch):
    made = evidence(MISTAKE)
    suspect = Suspect(("x",), (MISTAKE,))
    assert made.explained_by(suspect)
    monkeypatch.setattr(made, "misfit", lambda layer, _: 0.9 if layer is MISTAKE else 1.0)
    assert made.is_closer(suspect, made.failing[0])
    monkeypatch.setattr(made, "misfit", lambda layer, _: 0.91 if layer is MISTAKE else 1.0)
    assert not made.is_closer(suspect, made.failing[0])
    monkeypatch.setattr(made, "fits", lambda *_: True)
    assert not made.explained_by(suspect)


def test_wider_bounds_are_made_where_the_honest_ones_do_not_do(monkeypatch):
    made = evidence(MISTAKE, (A, "float64"))
    asked = []
    monkeypatch.setattr(evidence_module, "_expected_in_any_mode", lambda *_: asked.append(1) or made.played[0].expected)
    assert made.layer_fits(MISTAKE, made.played[0])
    assert asked == []
    assert not made.layer_fits(OracleLayer, made.played[0])
    assert asked == [1]
    assert made.in_any_mode(made.played[0]) is made.in_any_mode(made.played[0])
    assert asked == [1]


def test_evidence_less_some_cases():
    made = evidence(MISTAKE)
    first, second = made.played
    assert made.without([first]).played == [second]
    assert input_size(first) == 24
    assert input_size(play(OracleLayer, case("r", script=("eval", "restore")), "float64")) == 12


# --- replays ---


def test_a_replay_is_computed_as_far_as_it_is_asked_for():
    computed = []

    def steps():
        for number in range(3):
            computed.append(number)
            yield {"y": np.array(number)}

    replay = Replay(steps())
    assert next(iter(replay))["y"] == 0
    assert next(iter(replay))["y"] == 0
    assert computed == [0]
    assert [values["y"].item() for values in replay] == [0, 1, 2]
    assert [values["y"].item() for values in replay] == [0, 1, 2]
    assert computed == [0, 1, 2]


def test_a_replay_ends_with_the_step_that_raises():
    made = play(OracleLayer, A, "float64")
    assert list(replayed(RAISING, made, D2L)) == [None]
    assert len(list(replayed(MISTAKE, made, D2L))) == 2


def test_a_nudge_moves_every_input_by_so_many_units():
    nudge = Nudge(1e-3, np.random.default_rng(0), np.dtype(np.float64))
    moved = nudge.of(X) / X - 1
    assert np.abs(moved) == pytest.approx(np.full(X.shape, 1e-3))
    assert len(set(np.sign(moved).ravel())) == 2
    assert Nudge().of(X) is X
    step = Step("train", X, 2 * X)
    assert Nudge().of_step(step) is step
    assert not np.array_equal(nudge.of_step(step).dy, step.dy)
    assert nudge.of_step(Step("restore")) == Step("restore")
    setup = A.make("float64", 0, 0.9).setups[0]
    assert Nudge().of_setup(setup) is setup
    without = nudge.of_setup(replace(setup, gamma=None))
    assert without.gamma is None
    assert not np.array_equal(without.beta, setup.beta)


def test_directions_are_nudged_as_well():
    script = case("jvp", script=("train_jvp",)).make("float64", 0, 0.9)
    nudge = Nudge(1e-3, np.random.default_rng(0), np.dtype(np.float64))
    moved, given = nudge.of_step(script.steps[0]).directions, script.steps[0].directions
    for name in ("x", "gamma", "beta"):
        share = np.abs(getattr(moved, name) / getattr(given, name) - 1)
        assert share == pytest.approx(np.full(share.shape, 1e-3))


def test_the_mean_that_is_subtracted_is_off_as_well():
    setup = A.make("float64", 0, 0.9).setups[0]
    plain, moved = (layer.from_setup(setup, D2L) for layer in (OracleLayer, off_centre(OracleLayer, 0.5)))
    one = np.ones(3)
    plain_hat, moved_hat = (layer.normalize(X[:, :1] * one, one, one)[1]["x_hat"] for layer in (plain, moved))
    assert (plain_hat - moved_hat).ravel() == pytest.approx(np.full(9, 0.5), rel=1e-4)


def test_sensitivity_is_some_units_and_kept_for_known_mistakes(monkeypatch):
    made = play(OracleLayer, A, "float64")
    moved = sensitivity(MISTAKE, made, D2L)
    assert len(list(moved)) == 2
    share = float((next(iter(moved))["y"] / np.abs(made.expected[0].values["y"]).max()).max())
    assert 1e-16 < share < 1e-13
    assert sensitivity(MISTAKE, play(MISTAKE, A, "float64"), D2L) is moved
    monkeypatch.setattr(tuning, "NUDGE_ULPS", 80.0)
    assert sensitivity(MISTAKE, made, D2L) is not moved
    of_one_target = times(3.1, "dx")
    assert sensitivity(of_one_target, made, D2L) is not sensitivity(of_one_target, made, D2L)


def test_each_result_moves_by_some_units_of_itself_at_least():
    """Nudges of gamma, x and dy may cancel in one element of a hundred; what rounds there does so all the same."""
    made = play(OracleLayer, case("many", shape=(200, 3)), "float64")
    for moved, values in zip(sensitivity(MISTAKE, made, D2L), replayed(MISTAKE, made, D2L), strict=True):
        for name, value in values.items():
            assert (moved[name] >= 8 * 2.0**-53 * np.abs(value) * (1 - 1e-9)).all()


def test_what_is_not_finite_is_not_sensitive():
    overflowing = times(np.inf, "dx")
    made = play(OracleLayer, A, "float64")
    moved = list(sensitivity(overflowing, made, D2L))
    assert np.isinf(next(iter(replayed(overflowing, made, D2L)))["dx"]).all()
    assert (moved[0]["dx"] == 0).all()
    assert not fits(overflowing, made, D2L)


def test_the_averages_are_moved_by_their_bounds_to_either_side(monkeypatch):
    made = play(OracleLayer, A, "float64")
    bounds = [expected.bounds for expected in made.expected]
    plain, moved = (list(replay._played(OracleLayer, made.script, D2L, by, bounds)) for by in (0.0, 3.0))
    for name in ("moving_mean", "moving_var"):
        assert np.array_equal(moved[0][name], plain[0][name])  # after the step
        assert (moved[1][name] - plain[1][name]).astype(float) == pytest.approx(3 * bounds[0][name], rel=1e-3)
    made, nudges, sides = play(OracleLayer, case("averages"), "float64"), [], []
    monkeypatch.setattr(replay, "Nudge", lambda *given: nudges.append(given[0]) or Nudge(*given))
    monkeypatch.setattr(replay, "_played", lambda *given: sides.append(given[3:]) or iter(()))
    sensitivity(times(3.2, "dx"), made, D2L)
    assert nudges == [8 * 2.0**-53] * 2
    assert [given[0] for given in sides if given] == [-1.0, 1.0]
    assert all(given[1][0] is made.expected[0].bounds for given in sides if given)


def test_a_nudged_script_is_kept_and_each_side_has_its_own():
    made = play(OracleLayer, A, "float64")
    first, second = (replay.nudged_script(made, 1e-3, seed) for seed in (0, 1))
    assert replay.nudged_script(made, 1e-3, 0) is first
    assert replay.nudged_script(made, 2e-3, 0) is not first
    assert not np.array_equal(first.steps[0].x, second.steps[0].x)
    assert np.abs(first.steps[1].x / made.script.steps[1].x - 1) == pytest.approx(
        np.full(made.script.steps[1].x.shape, 1e-3)
    )


def test_a_step_is_nudged_when_it_is_asked_for(monkeypatch):
    """The first step shows as a rule that rounding is no excuse."""
    made, steps = play(MISTAKE, case("two"), "float32"), []
    monkeypatch.setattr(replay, "_played", lambda *_: (steps.append(n) or {} for n in range(2)))
    moved = iter(sensitivity(times(3.3, "dx"), made, D2L))
    assert steps == []
    next(moved)
    assert steps == [0, 0, 0]  # the mistake itself, and a nudge to either side


def test_failures_are_of_what_counts_against():
    made = played("train", wrong=(0,))
    made.judgements.append(failed(verdict=Verdict.agree, ratio=9.0))
    assert evidence_module._worst_ratio(made) == 0.5
    made.judgements.append(failed(ratio=np.inf))
    assert evidence_module._worst_ratio(made) == 0.5
    made.judgements.append(failed(ratio=3.0))
    assert evidence_module._worst_ratio(made) == 3.0
    assert evidence_module._worst_ratio(played("train")) == 0.0
