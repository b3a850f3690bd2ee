"""Which known mistake explains wrong forward mode or second derivatives, in a layer whose first derivatives are right.

They are searched for apart: they change nothing else, and no other mistake is made in them alone. Where first
derivatives are wrong the second ones follow from them, and nothing is said.
"""

from __future__ import annotations

from harness.diagnose.conditional import explains_failures, in_some_cases
from harness.diagnose.envelopes import fast_variance
from harness.diagnose.evidence import Evidence
from harness.diagnose.mistakes.known_derivatives import OF_DERIVATIVES
from harness.diagnose.rounding import is_far_from_zero
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


def under_a_condition(suspects: list[Suspect], evidence: Evidence) -> list[Suspect]:
    """A mistake in one branch of an operation: at one rank, in one type, above a size."""
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
    suspects = [
        Suspect((known.id,), (variant,))
        for known in OF_DERIVATIVES
        if known.applies(conventions)
        for variant in known.variants
    ]
    found = []
    for op in DERIVATIVES:
        failures = [judgement for judgement in failed if judgement.op == op]
        if failures:
            cases = [case for case in played if any(step.op == op for step in case.script.steps)]
            evidence = InOneMode(cases, conventions)
            explaining = [suspect for suspect in suspects if evidence.explained_by(suspect)]
            explaining = explaining or by_fast_variance(evidence) or under_a_condition(suspects, evidence)
            found.append((explaining, failures))
    return found
