"""One comparison and what it amounts to: its verdict and its reason decide whatever hangs on it, never its message."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from harness.observables import OBSERVABLES, Direction


class Verdict(StrEnum):
    agree = "agree"
    differ = "differ"
    raised = "raised"
    """An exception where a result is expected."""
    inconclusive = "inconclusive"
    """The bound is too wide for the comparison to prove anything."""
    unsupported = "unsupported"
    crashed = "crashed"
    timed_out = "timed_out"
    not_run = "not_run"
    noted = "noted"
    """A policy case in which the target does otherwise than the oracle: behaviour, not a fault."""
    known = "known"
    """It differs, and is listed among the known differences."""


FAULTS = (Verdict.crashed, Verdict.timed_out, Verdict.differ, Verdict.raised)
"""What counts against a target, the worst first."""

SEVERITY = (
    *FAULTS,
    Verdict.known,
    Verdict.agree,
    Verdict.inconclusive,
    Verdict.not_run,
    Verdict.unsupported,
    Verdict.noted,
)
"""Every verdict, the worst first: the one order in which they are sorted anywhere."""


class Kind(StrEnum):
    law = "law"
    """Arithmetic that every batch norm owes: it makes a verdict."""
    policy = "policy"
    """Behaviour in which honest implementations differ: it makes notes."""


class Reason(StrEnum):
    """Why a judgement has its verdict."""

    within_bound = "within_bound"
    beyond_bound = "beyond_bound"
    not_finite = "not_finite"
    """NaN or infinity where a finite number is expected."""
    bound_too_wide = "bound_too_wide"
    nothing_to_compare = "nothing_to_compare"
    """An empty array: there is no element to compare."""
    wrong_shape = "wrong_shape"
    wrong_dtype = "wrong_dtype"
    not_a_dict = "not_a_dict"
    unknown_name = "unknown_name"
    replicas_disagree = "replicas_disagree"
    """Replicas of one layer hold different moving statistics."""
    input_modified = "input_modified"
    refused_as_declared = "refused_as_declared"
    not_refused = "not_refused"
    """One value per channel, an error is declared, and a result came."""
    build_failed = "build_failed"
    step_failed = "step_failed"
    not_implemented = "not_implemented"
    not_given = "not_given"
    """The target returned other observables, but not this one."""
    built_without = "built_without"
    """The layer is built without what the observable belongs to: its gamma, its beta or its statistics."""
    option_not_offered = "option_not_offered"
    """The case asks for an option that the target does not declare."""
    rank_not_taken = "rank_not_taken"
    given_up = "given_up"
    no_oracle = "no_oracle"
    died = "died"
    listed_as_known = "listed_as_known"


WRONG_FORM = (Reason.wrong_shape, Reason.wrong_dtype, Reason.not_a_dict, Reason.unknown_name)
"""What is returned is not what the contract asks for, whatever numbers it holds."""


@dataclass(frozen=True)
class Judgement:
    """One comparison of a case, in one dtype.

    A judgement of the whole case has no `step`, `op` and `observable`; one of a whole step has no `observable`.
    `index` is the place, in x's channels-first layout, where error/bound is greatest.
    """

    case: str
    dtype: str
    step: int | None
    op: str | None
    observable: str | None
    kind: Kind
    verdict: Verdict
    reason: Reason
    error: float | None = None
    bound: float | None = None
    ratio: float | None = None
    index: tuple[int, ...] | None = None
    got: float | None = None
    want: float | None = None
    message: str | None = None
    inconclusive_channels: int = 0
    beyond: int = 0
    """How many elements are further off than their bounds."""
    elements: int = 0
    """Of how many that were compared."""
    largest_error: float | None = None
    """The greatest |got - want| among them, wherever it is."""

    @property
    def direction(self) -> Direction | None:
        return OBSERVABLES[self.observable].direction if self.observable in OBSERVABLES else None

    @property
    def counts_against(self) -> bool:
        return self.kind is Kind.law and self.verdict in FAULTS

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def overall(judgements: Iterable[Judgement]) -> Verdict:
    """A target's verdict: the worst of its law judgements; `unsupported` where there is none."""
    verdicts = {judgement.verdict for judgement in judgements if judgement.kind is Kind.law}
    return next((verdict for verdict in SEVERITY if verdict in verdicts), Verdict.unsupported)


def counts(judgements: Iterable[Judgement]) -> dict[str, int]:
    """How many judgements have each verdict, zeros included."""
    counted = Counter(judgement.verdict for judgement in judgements)
    return {verdict.value: counted[verdict] for verdict in Verdict}
