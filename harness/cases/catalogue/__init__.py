"""The named cases, by theme. Each says why it is there, which mistakes it separates and which traps it sets.

A case that separates nothing new has no place here; `tests/test_catalogue.py` proves each claim.
Shapes repeat on purpose: a compiling framework pays once a shape.
"""

from __future__ import annotations

import copyreg
from typing import Any

from harness.cases.case import Case
from harness.cases.catalogue.degenerate import DEGENERATE
from harness.cases.catalogue.derivatives import DERIVATIVES
from harness.cases.catalogue.eps import EPS
from harness.cases.catalogue.many_values import MANY_VALUES
from harness.cases.catalogue.memory import MEMORY
from harness.cases.catalogue.options import OPTIONS
from harness.cases.catalogue.parameters import PARAMETERS
from harness.cases.catalogue.scales import SCALES
from harness.cases.catalogue.shapes import SHAPES
from harness.cases.catalogue.sixteen_bits import SIXTEEN_BITS
from harness.cases.catalogue.steps import STEPS

CASES: tuple[Case, ...] = (
    *SHAPES,
    *STEPS,
    *PARAMETERS,
    *EPS,
    *SCALES,
    *DEGENERATE,
    *MEMORY,
    *SIXTEEN_BITS,
    *MANY_VALUES,
    *OPTIONS,
    *DERIVATIVES,
)

BY_ID = {case.id: case for case in CASES}


def suite(name: str) -> tuple[Case, ...]:
    """The cases of "quick" (an answer in seconds) or "full". Raises ValueError for another name."""
    if name == "full":
        return CASES
    if name == "quick":
        return tuple(case for case in CASES if case.quick)
    raise ValueError(f"suite must be quick or full, got {name!r}")


def case_by_id(case_id: str) -> Case:
    return BY_ID[case_id]


def _reduced(case: Case) -> str | tuple[Any, ...]:
    """A case of the catalogue travels between processes by its id: functions that draw data cannot be pickled."""
    return (case_by_id, (case.id,)) if BY_ID.get(case.id) is case else case.__reduce_ex__(2)


copyreg.pickle(Case, _reduced)
