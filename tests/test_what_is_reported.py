"""What is said in the end: what is named, what is set apart or said of some types alone, what stays unexplained."""

from dataclasses import replace

import numpy as np
import pytest

from harness.diagnose import diagnose as diagnose_module
from harness.diagnose import search as search_module
from harness.diagnose.diagnose import (
    by_dtype,
    covers_single_value,
    diagnose,
    explain,
    gave_wrong_form,
)
from harness.diagnose.suspects import Suspect
from harness.judge.judgement import Reason, Verdict
from harness.judge.oracle import OracleLayer
from tests.played_by_hand import failed, played
from tests.small_evidence import D2L, PLAYS, A, B, Target, case, evidence, known, play, report

NAMES = (
    "momentum_inverted",
    "moving_var_unbiased",
    "dgamma_not_normalized",
    "eps_missing",
    "frozen_by_batch",
    "wrong_axis",
)
FEW = [Suspect((name,), (known(name, number),)) for name, number in zip(NAMES, (0, 0, 0, 0, 0, 1), strict=True)]
INVERTED, UNBIASED, NOT_NORMALIZED, EPS_MISSING, *_ = FEW


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Few mistakes are known, each alone: a search takes milliseconds."""
    monkeypatch.setattr(search_module, "single_suspects", lambda _: FEW)
    monkeypatch.setattr("harness.diagnose.of_options.single_suspects", lambda _: FEW)
    for name in ("by_number", "by_parts", "by_envelope", "by_condition", "by_pair", "with_fast_variance"):
        monkeypatch.setattr(search_module, name, lambda *_: [])


def named(target, *plays, **more):
    return [(finding.id, finding.cases, finding.condition) for finding in diagnose(report(target, *plays, **more))]


def test_a_right_layer_has_no_findings():
    assert named(OracleLayer) == []


def test_a_mistake_is_named_with_its_cases():
    assert named(NOT_NORMALIZED.layer) == [("dgamma_not_normalized", ("a", "b"), "")]


def test_what_nothing_explains_says_where_it_is():
    (finding,) = diagnose(report(Target(change=lambda _, name, a: a + np.arange(3) * (name == "dgamma"))))
    assert finding.id == "unexplained"
    assert "wrong are dgamma, eval dgamma; in 2 of 2 plays" in finding.text


def test_what_is_lost_everywhere_is_called_so():
    lost = Target(change=lambda _, name, a: a * np.nan if name == "y" else a)
    assert [finding.id for finding in diagnose(report(lost))] == ["non_finite_output"]
    partly = Target(change=lambda op, name, a: a * (np.nan if op == "train" else 3) if name == "y" else a)
    assert [finding.id for finding in diagnose(report(partly))] == ["unexplained"]


def report_of(*plays):
    """Of a target that is another layer in each play."""
    made = report(OracleLayer)
    made.played = [play(*each) for each in plays]
    made.judgements = [judgement for each in made.played for judgement in each.judgements]
    return made


# --- one value per channel ---

ONE = case("one", shape=(1, 3), script=("train",))


def test_one_value_per_channel_is_judged_by_itself():
    beside = Target(OracleLayer, change=lambda _, name, a: a + (len(a) == 1 and name == "y"))
    assert named(beside, *PLAYS, (ONE, "float64")) == [("single_value_wrong", ("one",), "")]
    both = Target(NOT_NORMALIZED.layer, change=lambda _, name, a: a + (len(a) == 1 and name == "y"))
    assert named(both, *PLAYS, (ONE, "float64")) == [
        ("dgamma_not_normalized", ("a", "b"), ""), ("single_value_wrong", ("one",), "")]  # fmt: skip


def test_a_mistake_that_is_made_there_as_well_needs_no_second_name():
    made = report(INVERTED.layer, *PLAYS, (ONE, "float64"))
    assert "one" in {judgement.case for judgement in made.judgements if judgement.counts_against}
    assert [finding.id for finding in diagnose(made)] == ["momentum_inverted"]


def test_n_minus_1_leaves_anything_of_one_value():
    made = evidence(UNBIASED.layer)
    lost = [failed("one", "float64", reason=Reason.not_finite), failed("one", "float64", verdict=Verdict.raised)]
    law = [*made.played, play(Target(change=lambda _, __, a: a + 1), ONE, "float64")]
    assert covers_single_value([UNBIASED], made, law, lost)
    assert not covers_single_value([UNBIASED], made, law, [*lost, failed("one", "float64")])
    assert not covers_single_value([EPS_MISSING], made, law, lost)
    assert covers_single_value([FEW[-1]], made, law, [failed("one", "float64")])  # wrong axes fit no such shape


# --- exceptions ---


def raising_in(*ids):
    def change(made):
        steps = [replace(step, values={}, error="ValueError: no") for step in made.observation.steps[:1]]
        observation = replace(made.observation, steps=steps)
        judgement = failed(made.case.id, made.dtype, None, verdict=Verdict.raised, reason=Reason.step_failed)
        return replace(made, observation=observation, judgements=[judgement])

    def of(target, *plays):
        made = report(target, *plays)
        made.played = [change(each) if each.case.id in ids else each for each in made.played]
        made.judgements = [judgement for each in made.played for judgement in each.judgements]
        return made

    return of


C = case("c", shape=(5, 3))
THREE = (*PLAYS, (C, "float64"))


def test_an_exception_beside_a_mistake_is_unexplained():
    made = raising_in("c")(NOT_NORMALIZED.layer, *THREE)
    assert [(finding.id, finding.cases) for finding in diagnose(made)] == [
        ("dgamma_not_normalized", ("a", "b")), ("unexplained", ("c",))]  # fmt: skip


def test_an_exception_is_what_wrong_axes_lead_to():
    shape = {"shape": (4, 4)}
    fitting, other = case("a", **shape), case("b", **shape)
    layer = FEW[-1].layer
    made = report(layer, (fitting, "float64"), (other, "float64"), (C, "float64"))
    assert any(each.raised for each in made.played)
    assert [finding.id for finding in diagnose(made)] == ["wrong_axis"]


def test_an_exception_beside_wrong_axes_is_theirs():
    squares = [(case(name, shape=(size, size)), "float64") for name, size in (("a", 4), ("b", 5), ("c", 6))]
    made = raising_in("c")(FEW[-1].layer, *squares)
    assert [finding.id for finding in diagnose(made)] == ["wrong_axis"]


def test_exceptions_everywhere_are_unexplained():
    made = raising_in("a", "b", "c")(OracleLayer, *THREE)
    assert [finding.id for finding in diagnose(made)] == ["unexplained"]


def test_a_case_whose_exception_is_a_finding_is_not_replayed():
    made = raising_in("c")(NOT_NORMALIZED.layer, *THREE)
    raised = [judgement for judgement in made.judgements if judgement.counts_against and judgement.case != "c"]
    settled = explain(made.played, raised, D2L, {"c"}, [])
    assert [finding.id for finding in settled.findings] == ["dgamma_not_normalized"]


def test_a_finding_that_needs_no_replay_comes_first():
    made = report(NOT_NORMALIZED.layer)
    made.judgements.append(failed("a", "float64", "x", reason=Reason.input_modified))
    assert [finding.id for finding in diagnose(made)] == ["input_mutated", "dgamma_not_normalized"]


# --- shapes ---


def test_of_a_wrong_shape_the_other_arrays_say_nothing():
    """The case of a wrong shape is left out; where there are no others it is all that there is."""

    def cut_and_off(_, name, a):
        return a if len(a) == 4 else a[:-1] if name == "dx" else a + (name == "y")

    assert named(Target(NOT_NORMALIZED.layer, change=cut_and_off), *PLAYS, (C, "float64")) == [
        ("wrong_form", ("c",), ""), ("dgamma_not_normalized", ("a", "b", "c"), "")]  # fmt: skip
    everywhere = Target(change=lambda _, name, a: a[:-1] if name == "dx" else a)
    made = report(everywhere)
    assert all(map(gave_wrong_form, made.played))
    assert [finding.id for finding in diagnose(made)] == ["wrong_form"]
    assert not gave_wrong_form(played("train", wrong=(0,)))


def test_wrong_axes_explain_a_wrong_shape():
    squares = [(case(name, shape=(size, size)), "float64") for name, size in (("a", 4), ("b", 5), ("c", 6))]
    target = Target(FEW[-1].layer, change=lambda _, name, a: a[:-1] if name == "dgamma" and len(a) == 6 else a)
    made = report(target, *squares)
    assert "wrong_form" in {diagnose_module.id_by_reason(j) for j in made.judgements if j.counts_against}
    assert [finding.id for finding in diagnose(made)] == ["wrong_axis"]


# --- types ---

BOTH_TYPES = [(made, dtype) for made in (A, B, C) for dtype in ("float64", "float32")]


def in_16_bits(_, dtype):
    return dtype == "bfloat16"


def test_a_mistake_in_16_bits_alone_says_so():
    plays = [(made, dtype) for made in (A, B) for dtype in ("float32", "bfloat16")]
    ((identity, _, condition),) = named(Target(NOT_NORMALIZED.layer, in_16_bits), *plays)
    assert (identity, condition) == ("dgamma_not_normalized", "in 16 bits only")
    assert named(NOT_NORMALIZED.layer, *plays) == [("dgamma_not_normalized", ("a", "b"), "")]


def test_what_explains_the_wide_types_is_asked_of_16_bits_first(monkeypatch):
    plays = [(made, dtype) for made in (A, B) for dtype in ("float32", "bfloat16")]
    made = report(NOT_NORMALIZED.layer, *plays)
    asked = []
    real = diagnose_module.search
    monkeypatch.setattr(diagnose_module, "search", lambda evidence, **more: asked.append(1) or real(evidence, **more))
    assert [finding.id for finding in diagnose(made)] == ["dgamma_not_normalized"]
    assert asked == [1]


def test_one_mistake_in_one_type_and_another_in_the_other():
    made = report_of(
        *((NOT_NORMALIZED.layer, each, "float64") for each in (A, B)),
        *((INVERTED.layer, each, "float32") for each in (A, B, C)),
    )
    wrong = [judgement for judgement in made.judgements if judgement.counts_against]
    found = by_dtype(made.played, wrong, D2L, set())
    assert {finding.id: finding.condition for finding in found.findings} == {
        "dgamma_not_normalized": "in float64 only", "momentum_inverted": "in float32 only"}  # fmt: skip
    assert [suspect.ids[0] for suspect in found.suspects] == ["dgamma_not_normalized", "momentum_inverted"]
    assert {finding.id for finding in diagnose(made)} == {"dgamma_not_normalized", "momentum_inverted"}


def test_types_that_fail_alike_make_one_mistake():
    unknown = Target(change=lambda _, name, a: a + np.arange(3) * (name == "dgamma"))
    made = report(unknown, *BOTH_TYPES)
    wrong = [judgement for judgement in made.judgements if judgement.counts_against]
    assert by_dtype(made.played, wrong, D2L, set()) is None
    fewer = [judgement for judgement in wrong if (judgement.dtype, judgement.case) != ("float32", "c")]
    assert by_dtype(made.played, fewer, D2L, set()) is None  # neither is known


# --- options ---


def test_an_option_is_diagnosed_apart_where_the_ordinary_layer_fails():
    frozen = case("frozen", script=("train", "frozen"), separates=("frozen_by_batch",))
    by_batch = FEW[4].layer
    assert named(by_batch, (A, "float64"), (frozen, "float64")) == [("frozen_by_batch", ("frozen",), "")]
    made = report_of(*((NOT_NORMALIZED.layer, *each) for each in PLAYS), (by_batch, frozen, "float64"))
    assert [(finding.id, finding.cases) for finding in diagnose(made)] == [
        ("dgamma_not_normalized", ("a", "b")), ("frozen_by_batch", ("frozen",))]  # fmt: skip
    of_another = report_of((NOT_NORMALIZED.layer, *PLAYS[0]), (by_batch, replace(frozen, separates=()), "float64"))
    assert [finding.id for finding in diagnose(of_another)] == ["dgamma_not_normalized"]
    by_another = report_of(*((NOT_NORMALIZED.layer, each, "float64") for each in (A, B, frozen)))
    assert [finding.id for finding in diagnose(by_another)] == ["dgamma_not_normalized"]


def test_a_report_prints_in_short():
    """A test runner prints the arguments of what fails: with all arrays of a suite that took seconds a test."""
    made = report(OracleLayer, name="it")
    assert repr(made).startswith(f"<report of it: {made.verdict}, {len(PLAYS)} cases played")
    assert "array" not in repr(made) + repr(made.played)
