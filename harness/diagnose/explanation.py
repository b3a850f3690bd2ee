"""What explains the failures of some types, and what it says of the others, in which the target may be right."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from harness.diagnose.conditional import reserve, right_cases
from harness.diagnose.evidence import Evidence
from harness.diagnose.suspects import Suspect
from harness.findings import Finding
from harness.judge.report import PlayedCase
from reference.conventions import Conventions


@dataclass(frozen=True)
class Explanation:
    """What explains the failures of some dtypes: the findings, and the suspects behind them."""

    findings: list[Finding]
    suspects: list[Suspect] = field(default_factory=list)

    @property
    def is_missing(self) -> bool:
        return any(finding.id == "unexplained" for finding in self.findings)


def only_in(types: str, explanation: Explanation, others: list[PlayedCase], conventions: Conventions) -> Explanation:
    """The explanation of failures in `types`, which says so where the target is right in other types.

    others: the cases in those other types, in which the mistake would show.
    """
    law = [played for played in others if played.case.policy != "all" and not played.raised]
    evidence = Evidence(law, conventions)
    findings = list(explanation.findings)
    for suspect in explanation.suspects:
        right = set() if suspect.envelope else right_cases(suspect, evidence.played, evidence)
        for number, finding in enumerate(findings):
            if right and finding.id in suspect.ids and types not in finding.condition:
                findings[number] = conditional_on(types, finding, right)
    return replace(explanation, findings=findings)


def conditional_on(types: str, finding: Finding, right: set[str]) -> Finding:
    earlier = finding.condition
    condition = f"in {types} and {earlier}" if earlier else f"in {types} only{reserve(set(finding.cases), right)}"
    text = finding.text.removesuffix(f"; {earlier}") if earlier else finding.text
    return replace(finding, text=f"{text}; {condition}", condition=condition)
