"""Mistakes of rounding, which cannot be replayed: two fast variances differ from each other as much as from the truth.

They are recognised by envelope: outside the honest bound, inside the mistake's own, which grows with mean/std (fast
variance) or with the unit roundoff of fewer bits. An envelope is the same oracle with wider bounds, so a fixed
mistake can be tested inside an envelope as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

from harness.cases.case import Script
from harness.diagnose.fewer_bits import in_fewer_bits
from harness.diagnose.no_narrower import no_narrower
from harness.diagnose.rounding import (
    Errors,
    are_rounding,
    errors_are_of_its_size,
    errors_are_one_sided,
    is_far_from_zero,
)
from harness.judge.expected import Expected
from harness.judge.kept_expected import wider_expected
from harness.judge.prepare import KEPT
from harness.judge.report import PlayedCase
from reference.conventions import Conventions
from reference.error_bounds import precision_of

NARROW = ("float32", "float16", "bfloat16")
"""The types that statistics may have been kept in, the narrower envelope first."""


@dataclass
class Envelope:
    """Wider bounds for the same cases, each computed when it is asked for; and where the mistake must show."""

    ids: tuple[str, ...]
    """The mistakes of rounding that it holds."""
    detail: str
    widen: Callable[[PlayedCase], PlayedCase]
    narrow: str = ""
    """The type in which statistics are taken to be computed."""
    lacking: Mapping[str, Envelope] = field(default_factory=dict)
    """Where it holds several mistakes: the id of one -> the envelope of the others."""
    is_narrow: bool = False
    """Whether another layer inside it gets the leniency of any replay: its bounds prove as much as honest ones."""
    may_round_once: bool = False
    """Whether a single rounding to x's type is such a mistake, which is far less than its bounds: those of sums."""
    _widened: dict[tuple[str, str], PlayedCase] = field(default_factory=dict)

    def around(self, played: PlayedCase) -> PlayedCase:
        """The case with this mistake's bounds."""
        key = (played.case.id, played.dtype)
        if key not in self._widened:
            self._widened[key] = no_narrower(self.widen(played), played)
        return self._widened[key]

    def is_made(self, played: PlayedCase) -> bool:
        """Whether the case's bounds have been computed."""
        return (played.case.id, played.dtype) in self._widened

    def shows(self, errors: Errors) -> bool:
        """Whether the failures are where, and as large as, this mistake cannot help but make them."""
        failing = errors.failing
        mean_must_show = "fast_variance" in self.ids and any(map(is_far_from_zero, errors.played))
        if mean_must_show and not any(map(is_far_from_zero, failing)):
            return False
        if "low_precision_stats" not in self.ids:
            return True
        once = max(precision_of(case.dtype).io for case in failing) if failing and self.may_round_once else 0.0
        if "fast_variance" not in self.ids and not are_rounding(errors, self.narrow, once):
            return False  # before any wider bounds are made, which takes longer than all the rest
        widened = [(case, self.around(case)) for case in failing]
        return (self.may_round_once or errors_are_of_its_size(widened)) and not errors_are_one_sided(widened)


@lru_cache(KEPT)
def _expected_of_fast_variance(script: Script, conventions: Conventions, any_mode: bool) -> list[Expected]:
    """The same for all targets, as what is prepared for them."""
    return wider_expected(script, conventions, fast_variance=True, any_mode=any_mode)


def fast_variance(conventions: Conventions, any_mode: bool = False) -> Envelope:
    """E[x^2] - E[x]^2. Narrower than any of `low_precision`.

    any_mode: of a layer that may besides take one mode for the other, so that predictions err as training does.
    """

    def widen(played: PlayedCase) -> PlayedCase:
        return replace(played, expected=_expected_of_fast_variance(played.script, conventions, any_mode))

    return Envelope(("fast_variance",), "", widen)


def low_precision(conventions: Conventions, name: str) -> Envelope:
    """Statistics in the type called `name`."""

    def widen(played: PlayedCase) -> PlayedCase:
        return in_fewer_bits(played, conventions, name)

    return Envelope(("low_precision_stats",), f"the errors are of the size of {name}'s roundoff", widen, name)


def derivatives_in_16_bits(conventions: Conventions) -> Envelope:
    """Forward mode and second derivatives by sums in the type of x: narrower than `low_precision` of either type.

    Also by parts that are each rounded to it, where x or dy is cast to float32 in more than one place.
    """

    def widen(played: PlayedCase) -> PlayedCase:
        return in_fewer_bits(played, conventions, played.dtype)

    detail = "in forward mode or second derivatives of 16-bit x; the errors are of the size of x's own roundoff"
    return Envelope(("low_precision_stats",), detail, widen, "float16", may_round_once=True)


def fast_in_float32(conventions: Conventions) -> Envelope:
    """E[x^2] - E[x]^2 in float32, whatever the input: wider than either mistake alone, and so tried last."""

    def widen(played: PlayedCase) -> PlayedCase:
        return in_fewer_bits(played, conventions, "float32", fast_variance=True)

    return Envelope(("fast_variance", "low_precision_stats"), "float64 is computed in float32", widen)
