"""What is known of a target after a suite: its played cases, their judgements, and what was made of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from harness.cases.case import Case, Script
from harness.findings import Finding, Note
from harness.judge.expected import Expected
from harness.judge.judgement import Judgement, overall
from harness.targets.player import Description, Observation
from reference.conventions import Conventions

NOT_LOADED = "not_loaded"
"""In place of a verdict, where a target could not be loaded."""


@dataclass(frozen=True)
class PlayedCase:
    """One case in one dtype: what went in, what was expected, what was observed, and what that amounts to."""

    case: Case
    dtype: str
    script: Script
    expected: list[Expected]
    observation: Observation
    judgements: list[Judgement]

    def __repr__(self) -> str:
        """In short: pytest prints the arguments of a test that fails, and the arrays of a suite take seconds."""
        return f"<{self.case.id} in {self.dtype}, {len(self.judgements)} judgements>"

    @property
    def raised(self) -> bool:
        """Whether the target raised an exception, in whatever step."""
        return bool(self.observation.build_error) or any(result.error for result in self.observation.steps)


@dataclass
class TargetReport:
    """All that is known of one target. `load_error` where it could not be loaded; then there is nothing else."""

    target: str
    conventions: Conventions | None = None
    source: str = ""
    """Where the conventions come from: "declared" | "probed" | "--as PRESET" """
    unseen: tuple[str, ...] = ()
    """The fields of the conventions that no probe could show: they are those of the nearest preset."""
    description: Description | None = None
    load_error: str | None = None
    played: list[PlayedCase] = field(default_factory=list)
    judgements: list[Judgement] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    diagnosis: list[Finding] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"<report of {self.target}: {self.verdict}, {len(self.played)} cases played>"

    @property
    def verdict(self) -> str:
        return NOT_LOADED if self.load_error else overall(self.judgements).value


def failing(judgements: Iterable[Judgement]) -> list[Judgement]:
    return [judgement for judgement in judgements if judgement.counts_against]


def worst_of_each_case(judgements: Iterable[Judgement]) -> list[Judgement]:
    """The judgements that count against a target: of each case and dtype the one with the greatest error/bound."""
    worst: dict[tuple[str, str], Judgement] = {}
    for judgement in failing(judgements):
        key = (judgement.case, judgement.dtype)
        if key not in worst or (judgement.ratio or 0.0) > (worst[key].ratio or 0.0):
            worst[key] = judgement
    return list(worst.values())
