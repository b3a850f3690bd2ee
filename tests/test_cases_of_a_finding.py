"""Which cases a finding is of: of two mistakes at once each has those that the other does not explain."""

from dataclasses import replace

from harness.diagnose.diagnose import findings_of, needed_for, without_one
from harness.diagnose.envelopes import Envelope, fast_variance
from harness.diagnose.in_parts import in_parts
from harness.diagnose.suspects import Suspect, stacked
from harness.judge.oracle import OracleLayer
from tests.played_by_hand import failed
from tests.small_evidence import D2L, PLAYS, case, evidence, known

INVERTED, NOT_NORMALIZED, EPS_MISSING = (
    Suspect((name,), (known(name),)) for name in ("momentum_inverted", "dgamma_not_normalized", "eps_missing")
)


def test_each_of_two_mistakes_has_the_cases_that_need_it():
    pair = stacked(EPS_MISSING, NOT_NORMALIZED)
    forward_only = case("f", script=("train_no_grad",), shape=(6, 3), eps=0.1)
    made = evidence(pair.layer, *PLAYS, (forward_only, "float64"))
    assert needed_for(NOT_NORMALIZED, 0, made) == []
    assert set(needed_for(pair, 0, made)) == {"a", "b", "f"}
    assert set(needed_for(pair, 1, made)) == {"a", "b"}
    assert needed_for(pair, 0, made)[0] == "f"  # the smallest first
    found = {finding.id: set(finding.cases) for finding in findings_of([pair], made, [failed("a"), failed("f")])}
    assert found == {"eps_missing": {"a", "b", "f"}, "dgamma_not_normalized": {"a", "b"}}


def test_findings_of_one_id_have_the_cases_of_all_suspects():
    made = evidence(NOT_NORMALIZED.layer)
    again = replace(NOT_NORMALIZED, detail="another way")
    (finding,) = findings_of([NOT_NORMALIZED, again], made, [failed("a"), failed("b")])
    assert finding.cases == ("a", "b")
    assert "another way" not in finding.text


def test_of_a_mistake_of_rounding_and_a_formula_each_is_needed():
    """`fits` is asked of what is left: the formula without the envelope, then the envelope without the formula."""
    made = evidence(NOT_NORMALIZED.layer)
    both = Suspect(("dgamma_not_normalized", "fast_variance"), NOT_NORMALIZED.classes, envelope=fast_variance(D2L))
    asked = []
    made.fits = lambda suspect, case: asked.append((suspect.classes, suspect.envelope)) or False  # noqa: ARG005
    needed_for(both, 1, made)
    needed_for(both, 0, made)
    assert asked[::2] == [(NOT_NORMALIZED.classes, None), ((OracleLayer,), both.envelope)]


def test_of_an_envelope_of_two_each_is_taken_out():
    envelope = in_parts(D2L, promoted=False, fast=True)
    suspect = Suspect(("eps_missing", *envelope.ids), EPS_MISSING.classes, envelope=envelope)
    rest = [without_one(suspect, number) for number in range(3)]
    assert rest[0].classes == (OracleLayer,)
    assert rest[0].envelope is envelope
    assert [each.envelope for each in rest[1:]] == [
        envelope.lacking["fast_variance"],
        envelope.lacking["low_precision_stats"],
    ]
    alone = replace(
        suspect, envelope=Envelope(("low_precision_stats",), "", lambda case: case), ids=("x", "low_precision_stats")
    )
    assert without_one(alone, 1).envelope is None
    two = replace(suspect, ids=("a", "b", *envelope.ids), classes=(*EPS_MISSING.classes, *INVERTED.classes))
    assert without_one(two, 0).classes == INVERTED.classes
    made = evidence(NOT_NORMALIZED.layer)
    made.fits = lambda rest, case: rest.envelope is envelope  # noqa: ARG005
    assert needed_for(suspect, 0, made) == []
    assert set(needed_for(suspect, 1, made)) == {"a", "b"}
