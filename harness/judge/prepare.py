"""A case made ready to be judged: its script under a target's conventions, and what the oracle expects of each step.

The same is expected of all targets with the same conventions: what was prepared for one is kept for the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from harness.cases.case import Case, Script
from harness.cases.catalogue import BY_ID
from harness.judge.expected import Expected, expect
from harness.judge.kept_expected import kept_expected
from reference.conventions import Conventions

KEPT = 512
"""How many prepared cases are kept: the full suite in every dtype under two or three sets of conventions."""

KEPT_SEED = 0
"""Of this seed, that of every command unless another is asked for, the disk keeps what is expected."""


@dataclass(frozen=True)
class PreparedCase:
    script: Script
    expected: list[Expected]


def prepare(
    case: Case, dtype: str, seed: int, conventions: Conventions, summation: str = "any", folded: bool = False,
    rescaled: bool = False,
) -> PreparedCase:  # fmt: skip
    """summation, folded, rescaled: what the target declares.

    Raises NoOracleError where this machine cannot judge the dtype.
    """
    if folded or rescaled:
        script = _script(case, dtype, seed, conventions)
        return PreparedCase(script, expect(script, conventions, summation=summation, folded=folded, rescaled=rescaled))
    if BY_ID.get(case.id) is case:
        return _prepared_by_id(case.id, dtype, seed, conventions, summation)
    return _prepared(case, dtype, seed, conventions, summation)


@lru_cache(KEPT)
def _prepared_by_id(case_id: str, dtype: str, seed: int, conventions: Conventions, summation: str) -> PreparedCase:
    script = _script(BY_ID[case_id], dtype, seed, conventions)
    keep = seed == KEPT_SEED
    return PreparedCase(script, (kept_expected if keep else expect)(script, conventions, summation=summation))


def forget_prepared() -> None:
    """Free the memory of the cases that are kept."""
    _prepared_by_id.cache_clear()


def _prepared(case: Case, dtype: str, seed: int, conventions: Conventions, summation: str) -> PreparedCase:
    script = _script(case, dtype, seed, conventions)
    return PreparedCase(script, expect(script, conventions, summation=summation))


def _script(case: Case, dtype: str, seed: int, conventions: Conventions) -> Script:
    return case.make(dtype, seed, conventions.momentum_for(case.new_weight))
