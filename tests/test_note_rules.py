"""Notes: behaviour in which honest layers differ, told by a few arrays."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from harness.diagnose import notes as module
from harness.diagnose.accuracy import factor, on_accuracy
from harness.diagnose.notes import BEHAVIOUR, notes_on
from harness.diagnose.twice import differences_of, first_call_is_wrong, on_playing_twice, relative_difference
from harness.findings import Note
from harness.judge.judgement import Kind, Reason, Verdict
from harness.judge.oracle import OracleLayer
from harness.judge.report import TargetReport
from harness.targets.player import Description, Failure, Observation, StepResult
from tests.played_by_hand import CASE, RAISES, X, failed, played
from tests.small_evidence import D2L, A, play

VAR = np.array([0.25, 2.0])
LOST = np.array([np.nan, 2.0])


def noted(case_id, *steps, by_hand=CASE, **more):
    made = played(*steps, case=replace(by_hand, id=case_id), **more)
    return [(note.id, note.text) for note in notes_on(TargetReport("t", D2L, played=[made]))]


def statistics(mean, var):
    return {"moving_mean": (mean, mean), "moving_var": (var, var)}


def start_of(made):
    setup = made.script.setups[0]
    return setup.moving_mean, setup.moving_var


@pytest.mark.parametrize(
    ("case_id", "identity", "subject"),
    [("empty_batch", "empty_batch_wrong", "an empty batch"),
     ("mask_nothing_left", "mask_nothing_left", "a mask that counts nothing")],
)  # fmt: skip
def test_a_batch_of_nothing(case_id, identity, subject):
    mean, var = start_of(played("train", case=replace(CASE, id=case_id)))
    assert noted(case_id, ("train", statistics(mean, var))) == []
    assert noted(case_id, ("train", {"y": (X, X)})) == []
    assert noted(case_id, ("train", statistics(mean, var * np.nan))) == [
        (identity, f"{subject} turns the moving statistics to NaN")]  # fmt: skip
    assert noted(case_id, ("train", statistics(mean + 1, var))) == [
        (identity, f"{subject} moves the moving statistics")
    ]
    assert noted(case_id, ("train", statistics(mean, var + 1))) == [
        (identity, f"{subject} moves the moving statistics")
    ]
    assert noted(case_id, ("train", RAISES)) == [(identity, f"{subject} raises ValueError: no")]


def test_what_becomes_of_a_nan():
    kept, dropped = "a NaN stays in its channel's moving statistics for good", "a NaN does not reach"
    ((identity, text),) = noted("nan_in_one_channel", ("train", {"moving_var": (LOST[::-1], VAR)}))
    assert (identity, text) == ("nan_kept", kept)
    ((identity, text),) = noted("nan_in_one_channel", ("eval", {"moving_var": (VAR, VAR)}),
                                ("train", {"moving_var": (VAR, VAR)}))  # fmt: skip
    assert identity == "nan_dropped"
    assert text.startswith(dropped)
    assert noted("nan_in_one_channel", ("eval", {"moving_var": (LOST[::-1], VAR)})) == []


def test_one_value_per_channel_may_leave_nan():
    assert [identity for identity, _ in noted("one_value", ("train", {"moving_var": (LOST, VAR)}))] == [
        "single_value_spoils"]  # fmt: skip
    assert noted("one_value", ("train", {"moving_var": (VAR, VAR)})) == []
    assert noted("one_value", ("train", {"y": (X, X)})) == []


def test_only_the_first_note_of_a_case_is_given():
    made = [played(("train", {"moving_var": (LOST, VAR)}), case=replace(CASE, id="one_value"), dtype=dtype)
            for dtype in ("float64", "float32")]  # fmt: skip
    assert len(notes_on(TargetReport("t", D2L, played=made))) == 1


def behaviour_of(*judgements):
    return [(note.id, note.text) for note in notes_on(TargetReport("t", D2L, judgements=list(judgements)))]


def policy(case_id, **more):
    return failed(case_id, kind=Kind.policy, **{"verdict": Verdict.noted} | more)


@pytest.mark.parametrize(("case_id", "identity", "text"), BEHAVIOUR)
def test_behaviour_is_noted_where_it_shows(case_id, identity, text):
    assert behaviour_of(policy(case_id), policy(case_id, observable="dx")) == [(identity, f"{text} (dx, y)")]
    raised = policy(case_id, observable=None, reason=Reason.step_failed, message="ValueError: no")
    assert behaviour_of(policy(case_id), raised) == [(identity, f"{text}: ValueError: no")]
    assert behaviour_of(policy(case_id, verdict=Verdict.agree)) == []


def test_results_that_later_calls_write_over():
    made = played(("train", {"y": (X, X)}))
    made.observation.overwritten = ("y", "dx")
    (note,) = notes_on(TargetReport("t", D2L, played=[made]))
    assert note == Note("result_overwritten",
                        "a later call writes over dx, y of an earlier one: copy what you keep")  # fmt: skip


# --- naive sums ---

MANY = replace(CASE, id="many_values", shape=(3000, 2), new_weight=0.5)


def mean_off(roundings):
    """The mean of 3,000 ones, off by so many roundings of the moving mean."""
    x, error = np.ones((3000, 2)), roundings * 0.5 * 2.0**-24
    mean = np.ones(2)
    return noted("many_values", ("train", {"moving_mean": (mean + error, mean)}), by_hand=MANY, x=x)


def test_a_sum_that_errs_as_no_tree_does_is_naive():
    in_a_tree = 4 + np.log2(3000) + 4
    assert mean_off(3 * in_a_tree) == []
    ((identity, text),) = mean_off(5 * in_a_tree)
    assert (identity, text) == (
        "naive_summation",
        "over 3,000 values the mean errs by 5 times what adding in a tree would",
    )
    assert mean_off(3001) == []  # more than one by one could
    mean = np.ones(2)
    assert noted("many_values", ("train", {"moving_mean": (mean[:1], mean)}), by_hand=MANY) == []
    no_mean = played(("train", {"moving_mean": (mean, mean)}), case=MANY)
    no_mean.observation.steps[0].values.clear()
    assert notes_on(TargetReport("t", D2L, played=[no_mean])) == []
    no_mean.observation.steps.clear()
    assert module._on_many_values(no_mean) is None


# --- accuracy ---


def test_declared_sums_are_not_held_to_what_is_usual():
    judgement = failed("rank2", "float32", verdict=Verdict.agree, ratio=0.9)
    report = TargetReport("t", D2L, judgements=[judgement])
    (note,) = on_accuracy(report)
    assert note.id == "less_accurate_than_usual"
    assert note.text.endswith("honest algorithms' errors (rank2 float32)")
    description = Description(None, ("float32",), (2,), ("train",), {})
    report.description = description
    assert len(on_accuracy(report)) == 1
    report.description = replace(description, summation="pairwise")
    assert on_accuracy(report) == []
    assert on_accuracy(TargetReport("t", D2L)) == []


def test_further_cases_are_named():
    judgements = [failed(case, "float32", verdict=Verdict.agree, ratio=ratio) for case, ratio in
                  (("rank2", 0.9), ("rank4", 0.9), ("rank3", 0.9), ("many_values", 1e-9))]  # fmt: skip
    (note,) = on_accuracy(TargetReport("t", D2L, judgements=judgements))
    worst = max(judgements, key=factor).case
    assert f"({worst} float32)" in note.text
    assert note.text.endswith(f"; so are errors in {'rank4' if worst == 'rank2' else 'rank2'}")


# --- two plays ---


def twice(before, after, **more):
    made = played(("train", {"y": (after, X)}), **more)
    made.observation.first = played(("train", {"y": (before, X)})).observation
    return made


def test_how_much_two_plays_differ():
    assert list(differences_of(twice(X, X))) == []
    ((share, text),) = differences_of(twice(X + 0.6, X))
    assert share == pytest.approx(0.1)
    assert text == "y by up to 0.1 of its size, in by_hand, float32"
    lacking = twice(X, X)
    lacking.observation.first.steps[0].values.clear()
    ((share, text),) = differences_of(lacking)
    assert share == np.inf
    assert text == "what is returned or raised, in by_hand, float32"


@pytest.mark.parametrize("place", ["error", "unsupported"])
def test_the_words_of_an_exception_are_no_result(place):
    """Perl's end with the line of the input that it reads, others with an address."""
    as_written = {"error": partial(Failure, "ValueError"), "unsupported": str}[place]
    made = twice(X, X)
    made.observation.steps[0] = StepResult("train", 0, **{place: as_written("no, <STDIN> line 87.")})
    made.observation.first.steps[0] = StepResult("train", 0, **{place: as_written("no, <STDIN> line 86.")})
    assert list(differences_of(made)) == []
    made.observation.first.steps[0] = StepResult("train", 0)
    ((share, _),) = differences_of(made)
    assert share == np.inf


def test_the_greatest_difference_is_noted():
    report = TargetReport("t", D2L, played=[twice(X + 0.6, X), twice(X + 1.2, X), played("train")])
    for made in report.played[:2]:
        made.judgements.append(failed())
    (note,) = on_playing_twice(report)
    assert note.text == ("the same calls on two new layers give different results: "
                         "y by up to 0.2 of its size, in by_hand, float32")  # fmt: skip


def test_nothing_is_relative_to_nothing_and_nan_equals_nan():
    lost = np.array([np.nan, 2.0])
    assert relative_difference(lost, lost) == 0.0
    assert relative_difference(np.array([np.nan]), np.array([1.0])) == np.inf
    assert relative_difference(lost, lost + 1) == pytest.approx(1 / 3)
    assert relative_difference(np.array([np.inf, 1.0]), np.array([np.inf, 2.0])) == 0.5
    assert relative_difference(np.zeros(2), np.zeros(2)) == 0.0
    assert relative_difference(np.array([0.5]), np.array([0.0])) == 0.5


def test_a_first_call_that_is_wrong_is_told_from_another_digit():
    made = play(OracleLayer, A, "float64")
    wrong = play(OracleLayer, A, "float64").observation
    wrong.steps[1].values["dx"] = wrong.steps[1].values["dx"] + 1
    assert first_call_is_wrong(made) == ""
    made.observation.first = wrong
    assert first_call_is_wrong(made) == "dx in eval of a, float64"
    made.observation.first = Observation(build_error=Failure("ValueError", "no"))
    assert first_call_is_wrong(made) == "ValueError: no in building of a, float64"
    made.observation.first = Observation([StepResult("train", 0, error=Failure("ValueError", "no"))])
    (note,) = on_playing_twice(TargetReport("t", D2L, played=[made]))
    assert note.text == "only the first call is wrong: ValueError: no in train of a, float64"
    made.judgements.append(failed())
    assert first_call_is_wrong(made) == ""
