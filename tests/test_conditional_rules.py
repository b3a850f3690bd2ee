"""A mistake in one branch: under which condition it is named, and what is said of how little that rests on."""

import pytest

from harness.diagnose import conditional
from harness.diagnose.conditional import by_condition, explains_failures, in_some_steps, right_cases
from harness.diagnose.conditions import case_conditions, step_conditions
from harness.diagnose.explanation import Explanation, only_in
from harness.diagnose.mistakes.gradient_factors import times
from harness.diagnose.mistakes.in_mode import only_when
from harness.diagnose.mistakes.numbered import with_new_weight
from harness.diagnose.suspects import Suspect
from harness.findings import Finding
from tests.small_evidence import D2L, Target, case, evidence, known, play

NOT_NORMALIZED, EPS_MISSING = known("dgamma_not_normalized"), known("eps_missing")
SINGLES = [
    Suspect(("dgamma_not_normalized",), (NOT_NORMALIZED,)),
    Suspect(("eps_missing",), (EPS_MISSING,)),
]
PLAIN, LARGE_EPS = {}, {"eps": 1e-2}
RANKS = [(case(name, shape=shape), "float64") for name, shape in
         (("a", (4, 3)), ("b", (6, 3)), ("c", (4, 3, 2)), ("d", (6, 3, 2)))]  # fmt: skip


def conditions(target, *plays, singles=SINGLES):
    return [(s.ids, s.condition) for s in by_condition(singles, evidence(target, *plays))]


def at_rank_3(made, _):
    return made.ndim == 3


def test_a_mistake_at_one_rank_is_named_with_it():
    target = Target(NOT_NORMALIZED, at_rank_3)
    assert conditions(target, *RANKS) == [(("dgamma_not_normalized",), "at rank 3 only")]


@pytest.mark.parametrize(
    ("plays", "words"),
    [
        ((RANKS[0], RANKS[1], RANKS[2]), "at rank 3 only (seen in one case only)"),
        ((RANKS[0], RANKS[2], RANKS[3]), "at rank 3 only (one case only shows it right elsewhere)"),
    ],
)
def test_a_condition_says_what_it_rests_on(plays, words):
    assert conditions(Target(NOT_NORMALIZED, at_rank_3), *plays) == [(("dgamma_not_normalized",), words)]


def test_a_case_that_would_not_show_the_mistake_does_not_show_it_right():
    """A case without gradients is as it should be, whatever becomes of dgamma."""
    made = evidence(Target(NOT_NORMALIZED, at_rank_3), *RANKS[:3], (case("e", script=("train_no_grad",)), "float64"))
    right = right_cases(SINGLES[0], made.played, made)
    assert right == {"a", "b"}
    assert right_cases(SINGLES[0], [play(Target(), case("e", script=("train_no_grad",)), "float64")], made) == set()


def test_no_more_cases_are_asked_than_are_enough():
    made = evidence(Target(NOT_NORMALIZED, at_rank_3), *RANKS, (case("e"), "float64"), (case("f"), "float64"))
    assert len(right_cases(SINGLES[0], made.played, made)) == 2


def test_an_ordinary_layout_is_no_condition():
    plain, sliced = (play(NOT_NORMALIZED, case(layout, layout=layout), "float64") for layout in ("plain", "sliced"))
    texts = [condition.text for condition in case_conditions([plain], [plain, sliced])]
    assert texts == []
    assert [c.text for c in case_conditions([sliced], [plain, sliced])] == ["where the layout in memory is sliced"]


def test_of_a_type_and_a_rank_both_are_named():
    both = [(made, dtype) for made, _ in RANKS for dtype in ("float64", "float32")]
    target = Target(NOT_NORMALIZED, lambda made, dtype: made.ndim == 3 and dtype == "float32")
    ((_, words),) = conditions(target, *both)
    assert words == "in float32 and at rank 3 only"


def test_a_number_may_be_wrong_in_one_branch():
    target = Target(with_new_weight(0.3), at_rank_3)
    ((ids, words),) = conditions(target, *RANKS)
    assert (ids, words) == (("momentum_wrong",), "at rank 3 only")
    (suspect,) = by_condition(SINGLES, evidence(target, *RANKS))
    assert suspect.detail == "the new batch weighs 0.3"


def test_a_mistake_must_explain_every_failure_and_explain_it_better():
    made = evidence(Target(NOT_NORMALIZED, at_rank_3), *RANKS)
    assert explains_failures(SINGLES[0], made)
    assert not explains_failures(SINGLES[1], made)
    made.is_closer = lambda *_: False  # type: ignore[method-assign]
    assert not explains_failures(SINGLES[0], made)


def test_a_mistake_in_some_steps(monkeypatch):
    """From its second training step on the layer forgets to normalize in dgamma."""
    in_the_second = only_when(lambda layer: layer.updates > 1, NOT_NORMALIZED, "Later")
    steps = ("train", "train", "train", "eval")
    plays = [(case(name, script=steps), "float64") for name in "ab"]
    made = evidence(in_the_second, *plays)
    words = ["in training only", "from training step 2 on",
             "from training step 2 on, those before restoring included", "from step 2 on"]  # fmt: skip
    assert [condition.text for condition in step_conditions(made.failing)] == words
    (suspect,) = in_some_steps(SINGLES, made)
    assert suspect.ids == ("dgamma_not_normalized",)
    assert suspect.condition.startswith("from training step 2 on")
    assert suspect.classes != (NOT_NORMALIZED,)
    assert in_some_steps(SINGLES[1:], made) == []
    monkeypatch.setattr(conditional, "with_a_number", lambda _: [])
    assert [s.condition for s in by_condition(SINGLES, made)] == [suspect.condition]


def test_a_mistake_in_prediction_after_restoring():
    plays = [(case(name, script=("eval", "restore", "eval", "train")), "float64") for name in "ab"]
    restored = only_when(lambda layer: layer.restoring is not None, times(2.0, "dx"), "Restored")
    singles = [Suspect(("gradient_scaled",), (times(2.0, "dx"),))]
    assert [s.condition for s in in_some_steps(singles, evidence(restored, *plays))] == ["after restoring only"]


# --- in some types only ---


def explanation(suspect, condition=""):
    text = f"text; {condition}" if condition else "text"
    return Explanation([Finding(suspect.ids[0], text, ("a", "b"), condition), Finding("other", "o", ())], [suspect])


def in_float64(*targets):
    return [play(target, made, "float64") for target, (made, _) in zip(targets, RANKS, strict=False)]


def test_what_other_types_do_right_is_said():
    found = only_in("float32", explanation(SINGLES[0]), in_float64(Target(), Target()), D2L)
    assert [finding.condition for finding in found.findings] == ["in float32 only", ""]
    (finding, _) = only_in("float32", explanation(SINGLES[0], "at rank 3 only"), in_float64(Target()), D2L).findings
    assert finding.text == "text; in float32 and at rank 3 only"


def test_what_other_types_do_wrong_as_well_is_no_condition():
    wrong = in_float64(NOT_NORMALIZED, NOT_NORMALIZED)
    assert only_in("float32", explanation(SINGLES[0]), wrong, D2L).findings[0].condition == ""


def test_what_raises_or_is_policy_shows_nothing_right():
    raising = play(known("wrong_axis", 1), RANKS[0][0], "float64")
    policy = play(Target(), case("p", policy="all"), "float64")
    assert only_in("float32", explanation(SINGLES[0]), [raising, policy], D2L).findings[0].condition == ""


def test_a_condition_that_names_the_type_already_is_left_alone():
    told = explanation(SINGLES[0], "in float32 only")
    assert only_in("float32", told, in_float64(Target(), Target()), D2L) == told
