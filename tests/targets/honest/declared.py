"""Honest algorithms that may declare how they sum: two passes, all sums alike, dgamma of the centred values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from tests.targets.honest import gradients
from tests.targets.honest.adding import Sum, in_wider_type, numpy_pairwise, pairwise
from tests.targets.honest.algorithm import Algorithm
from tests.targets.honest.forty import ALGORITHMS, BY_NAME
from tests.targets.honest.statistics import (
    corrected_two_pass,
    shifted_two_pass,
    two_pass,
    two_pass_reciprocal_count,
)

TWO_PASSES = (two_pass, two_pass_reciprocal_count, shifted_two_pass, corrected_two_pass)
OF_CENTRED = (gradients.of_normalized, gradients.of_quotient, gradients.of_deviation)
ACROSS = (two_pass, shifted_two_pass, corrected_two_pass)
"""The statistics with which each algorithm is tried beside its own."""


def declares(add: Sum, *more: str) -> tuple[Algorithm, ...]:
    """Those of the honest algorithms that can declare `add`, which takes the place of their own; and `more` by name."""
    able = [a for a in ALGORITHMS if a.statistics in TWO_PASSES and a.dgamma in OF_CENTRED]
    turns = zip(able, ACROSS * len(able), strict=False)
    own = tuple(replace(a, add=add) for a in able)
    crossed = tuple(replace(a, name=f"{a.name}, {s.__name__}", add=add, statistics=s) for a, s in turns)
    return own + crossed + tuple(BY_NAME[name] for name in more)


DECLARED: Mapping[str, tuple[Algorithm, ...]] = MappingProxyType(
    {
        "pairwise": declares(numpy_pairwise),
        "pairwise_in_order": declares(pairwise),
        "wide": declares(in_wider_type, "AllInWiderType"),
    }
)
"""By what they declare. `wide` in float32 alone: the wider type has to have twice the digits."""
