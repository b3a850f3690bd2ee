"""Forward mode and second derivatives: diagnosed by themselves, and only where the rest is right."""

import ml_dtypes
import numpy as np
import pytest

from harness.cases.catalogue import CASES
from harness.diagnose import derivatives as module
from harness.diagnose.derivatives import InOneMode, derives, explained, follows_from, is_derivative
from harness.diagnose.diagnose import diagnose, findings_of_derivatives
from harness.diagnose.mistakes.entry import Known
from harness.diagnose.mistakes.known import TEXTS
from harness.diagnose.suspects import Suspect
from harness.judge.oracle import OracleLayer
from tests.in_process import checked
from tests.played_by_hand import failed
from tests.small_evidence import D2L, PLAYS, A, Target, case, evidence, known, play, report
from tests.targets.mutants.twice_in_sixteen_bits import WideInside

JVP = [(case(name, script=("train_jvp", "eval_jvp"), **more), "float64") for name, more in
       (("j", {}), ("k", {"shape": (5, 3)}))]  # fmt: skip
DOUBLE = [(case("d", script=("train_double",)), "float64")]
HALF = [(case("h", script=("train_double",), eps=1.0), dtype) for dtype in ("bfloat16", "float16")]
STATISTICS, MEAN = known("jvp_statistics_constant"), known("jvp_mean_constant")
DGAMMA2 = known("double_missing_dgamma2")


@pytest.fixture(autouse=True)
def few(monkeypatch):
    entries = tuple(Known(name, "text", (known(name),)) for name in
                    ("jvp_statistics_constant", "jvp_mean_constant", "double_missing_dgamma2"))  # fmt: skip
    elsewhere = Known("never", "text", (STATISTICS,), lambda conventions: conventions.debias)
    monkeypatch.setattr(module, "OF_DERIVATIVES", (*entries, elsewhere))


def failures(made):
    return [judgement for judgement in made.judgements if judgement.counts_against]


def test_which_steps_are_of_derivatives():
    assert is_derivative(failed(op="eval_double"))
    assert not is_derivative(failed(op="train"))
    assert derives(play(OracleLayer, *JVP[0]))
    assert not derives(play(OracleLayer, *PLAYS[0]))


def test_each_operation_is_explained_by_itself():
    both = type("Both", (STATISTICS, DGAMMA2), {})
    made = report(both, *JVP, *DOUBLE)
    found = explained(made.played, failures(made), D2L)
    assert [[suspect.ids for suspect in suspects] for suspects, _ in found] == [
        [("jvp_statistics_constant",)], [("double_missing_dgamma2",)]]  # fmt: skip
    assert [{judgement.op for judgement in of_op} for _, of_op in found] == [{"train_jvp"}, {"train_double"}]
    assert [(finding.id, finding.cases) for finding in diagnose(made)] == [
        ("jvp_statistics_constant", ("j", "k")), ("double_missing_dgamma2", ("d",))]  # fmt: skip


def test_what_no_known_mistake_explains():
    unknown = Target(change=lambda _, name, a: a * 1.5 if name == "ty" else a)
    made = report(unknown, *JVP, *PLAYS)
    (finding,) = findings_of_derivatives(made, failures(made))
    assert (finding.id, finding.cases) == ("unexplained", ("j", "k"))
    assert "in 2 of 2 plays" in finding.text  # those of the operation alone


def test_the_errors_of_a_fast_variance_are_told_where_the_mean_is_far(monkeypatch):
    far = case("far", script=("train_jvp",), shape=(8, 3), data=lambda rng, shape: rng.normal(size=shape) + 1e3)

    class Fast(OracleLayer):
        def batch_statistics(self, rows):
            mean, var = super().batch_statistics(rows)
            return mean, var * (1 + 1e-10)

    made = report(Fast, (far, "float64"), *JVP)
    assert {judgement.case for judgement in failures(made)} >= {"far"}
    in_far_alone = [judgement for judgement in failures(made) if judgement.case == "far"]
    only_far = [played for played in made.played if played.case.id == "far"]
    ((suspects, _),) = explained(only_far, in_far_alone, D2L)
    assert [suspect.ids for suspect in suspects] == [("fast_variance",)]
    near = evidence(Target(change=lambda _, __, a: a * (1 + 1e-12)), *JVP)
    assert near.failing
    monkeypatch.setattr(near, "explained_by", lambda _: True)
    assert module.by_fast_variance(near) == []  # whatever its bounds hold


def with_dgamma2_in_bfloat16(_, name, a):
    """In a layer of 16 bits, whose dgamma2 is float32."""
    return a.astype(ml_dtypes.bfloat16).astype(a.dtype) if name == "dgamma2" and a.dtype == np.float32 else a


def test_the_errors_of_16_bits_are_told():
    made = report(Target(change=with_dgamma2_in_bfloat16), *DOUBLE, *HALF)
    assert {judgement.observable for judgement in failures(made)} == {"dgamma2"}
    (finding,) = findings_of_derivatives(made, failures(made))
    assert (finding.id, finding.cases) == ("low_precision_stats", ("h",))
    assert "x's own roundoff" in finding.text


def test_float32_between_arrays_of_16_bits_agrees():
    cases = tuple(
        case for case in CASES if case.id.endswith("sixteen_bits") and case.script[0].endswith(("jvp", "double"))
    )
    made = checked(WideInside, cases=cases)
    assert [judgement.verdict for judgement in made.judgements] == ["agree"] * 16


def test_a_small_error_of_16_bits_is_told_too():
    """Whatever a replay is forgiven: the bounds of fewer bits are rounding's own."""
    bound = report(OracleLayer, HALF[1]).played[0].expected[0].bounds["ddy"]
    made = report(Target(change=lambda _, name, a: a + (2 * bound).astype(a.dtype) if name == "ddy" else a), HALF[1])
    made_evidence = InOneMode(made.played, D2L)
    assert made_evidence.failing == []
    assert failures(made) != []
    assert module.under_a_condition([Suspect(("any",), (DGAMMA2,))], made_evidence) == []
    assert [finding.id for finding in findings_of_derivatives(made, failures(made))] == ["low_precision_stats"]


def test_what_16_bits_do_is_apart_from_what_a_formula_does():
    in_float64 = Target(DGAMMA2, wrong_in=lambda _, dtype: dtype == "float64", change=with_dgamma2_in_bfloat16)
    made = report(in_float64, *DOUBLE, *HALF)
    assert [finding.id for finding in findings_of_derivatives(made, failures(made))] == [
        "double_missing_dgamma2", "low_precision_stats"]  # fmt: skip


def test_a_formula_that_is_wrong_in_16_bits_alone_is_no_rounding():
    in_16_bits = Target(DGAMMA2, wrong_in=lambda _, dtype: dtype != "float64")
    made = report(in_16_bits, *DOUBLE, *HALF)
    (finding,) = findings_of_derivatives(made, failures(made))
    assert finding.id == "double_missing_dgamma2"
    assert finding.condition == "in bfloat16 or float16 only (seen in one case only)"
    scaled = report(Target(change=lambda _, name, a: a * np.float32(1.01) if name == "dgamma2" else a), *HALF)
    assert [finding.id for finding in findings_of_derivatives(scaled, failures(scaled))] == ["unexplained"]


def test_derivatives_follow_from_what_is_wrong_in_ordinary_steps(monkeypatch):
    assert follows_from([failed(observable="y")])
    assert follows_from([failed(observable=None)])
    assert not follows_from([failed(observable="moving_mean")])
    assert not follows_from([])
    not_normalized = known("dgamma_not_normalized")
    monkeypatch.setattr("harness.diagnose.search.single_suspects", lambda _: [Suspect(("named",), (not_normalized,))])
    monkeypatch.setitem(TEXTS, "named", "text")
    wrong = type("Wrong", (not_normalized, STATISTICS), {})
    made = report(wrong, (A, "float64"), *JVP)
    assert [finding.id for finding in diagnose(made)] == ["named"]


def test_a_derivative_is_asked_for_by_its_mode():
    made = InOneMode([play(STATISTICS, *JVP[0])], D2L)
    assert made.in_any_mode(made.played[0]) is made.played[0]
