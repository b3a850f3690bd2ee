"""Which known mistake explains wrong forward mode or second derivatives, in a layer whose first derivatives are right.

They are searched for apart: they change nothing else, and no other mistake is made in them alone. Where first
derivatives are wrong the second ones follow from them, and nothing is said.
"""

from __future__ import annotations

from harness.diagnose.conditional import explains_failures, in_some_cases
from harness.diagnose.envelopes import derivatives_in_16_bits, fast_variance
from harness.diagnose.evidence import Evidence
from harness.diagnose.mistakes.known_derivatives import OF_DERIVATIVES
from harness.diagnose.mistakes.rounded_parameters import SIXTEEN_BITS
from harness.diagnose.rounding import is_far_from_zero
from harness.diagnose.search import by_envelope
from harness.diagnose.suspects import Suspect
from harness.judge.judgement import Judgement
from harness.judge.oracle import OracleLayer
from harness.judge.report import PlayedCase
from harness.observables import DERIVATIVES, STEP
from reference.conventions import Conventions


class InOneMode(Evidence):
    """A derivative is asked for by the name of its mode."""

    def in_any_mode(self, played: PlayedCase) -> PlayedCase:
        return played


def by_fast_variance(evidence: Evidence) -> list[Suspect]:
    """Where the errors are those of E[x^2] - E[x]^2, in cases of a large mean alone."""
    fast = fast_variance(evidence.conventions)
    suspect = Suspect(fast.ids, (OracleLayer,), fast.detail, fast)
    is_far = all(map(is_far_from_zero, evidence.failing))
    return [suspect] if is_far and evidence.explained_by(suspect) else []


def by_fewer_bits(evidence: Evidence) -> list[Suspect]:
    """Where the errors are those of statistics and sums in 16 bits, in cases of 16-bit input alone.

    Its bounds are rounding's own, so that no error is too small to be explained by them.
    """
    strict = InOneMode(evidence.played, evidence.conventions)
    strict.failing = [case for case in strict.played if any(judged.counts_against for judged in case.judgements)]
    in_16_bits = all(case.dtype in SIXTEEN_BITS for case in strict.failing)
    return list(by_envelope([derivatives_in_16_bits(strict.conventions)], strict)) if in_16_bits else []


def under_a_condition(suspects: list[Suspect], evidence: Evidence) -> list[Suspect]:
    """A mistake in one branch of an operation: at one rank, in one type, above a size."""
    if not evidence.failing:
        return []
    return in_some_cases([suspect for suspect in suspects if explains_failures(suspect, evidence)], evidence)


def derives(played: PlayedCase) -> bool:
    """Whether a case asks for forward mode or second derivatives, which it does in all of its steps or in none."""
    return any(step.op in DERIVATIVES for step in played.script.steps)


def is_derivative(judgement: Judgement) -> bool:
    return judgement.op in DERIVATIVES


def follows_from(ordinary: list[Judgement]) -> bool:
    """Whether what failed in ordinary steps would make derivatives wrong as well."""
    return any(judgement.observable is None or judgement.observable in STEP for judgement in ordinary)


def explained(
    played: list[PlayedCase], failed: list[Judgement], conventions: Conventions
) -> list[tuple[list[Suspect], list[Judgement]]]:
    """Of each operation that failed: the suspects that explain all of its cases, and its failures.

    An operation is explained by itself: a layer may have forward mode right and second derivatives wrong.
    """
    found = []
    for op in DERIVATIVES:
        failures = [judgement for judgement in failed if judgement.op == op]
        if failures:
            cases = [case for case in played if any(step.op == op for step in case.script.steps)]
            found += of_operation(cases, failures, conventions)
    return found


def of_operation(
    played: list[PlayedCase], failed: list[Judgement], conventions: Conventions
) -> list[tuple[list[Suspect], list[Judgement]]]:
    """Its cases together or, where nothing explains these, those of 16 bits and the others each by themselves: what 16
    bits do to a sum is another matter than what a formula does."""
    suspects = [
        Suspect((known.id,), (variant,))
        for known in OF_DERIVATIVES
        if known.applies(conventions)
        for variant in known.variants
    ]
    evidence = InOneMode(played, conventions)
    explaining = [suspect for suspect in suspects if evidence.explained_by(suspect)]
    explaining = explaining or by_fast_variance(evidence) or under_a_condition(suspects, evidence)
    explaining = explaining or by_fewer_bits(evidence)
    apart = [[judgement for judgement in failed if (judgement.dtype in SIXTEEN_BITS) is it] for it in (False, True)]
    if explaining or not all(apart):
        return [(explaining, failed)]
    cases = [[case for case in played if (case.dtype in SIXTEEN_BITS) is it] for it in (False, True)]
    return [part for c, f in zip(cases, apart, strict=True) for part in of_operation(c, f, conventions)]
