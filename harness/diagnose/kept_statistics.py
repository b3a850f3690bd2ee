"""Moving statistics that are kept in a narrower type than the layer's own: the start and each update are rounded to it,
or cut off.

A replay would do for all but the few values that lie next to the middle between two numbers of that type: which way
they go hangs on the last bit of the target. As an envelope it is narrow: only the moving averages, and what prediction
makes of them, have wider bounds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from harness.cases.case import Script, numpy_dtype
from harness.diagnose.deviations import ENOUGH, wrong_columns
from harness.diagnose.envelopes import NARROW, Envelope
from harness.diagnose.misfit import largest_finite
from harness.diagnose.mistakes.rounded_parameters import SIXTEEN_BITS
from harness.diagnose.rounding import Errors
from harness.judge.expected import Expected
from harness.judge.kept_expected import wider_expected
from harness.judge.prepare import KEPT
from harness.judge.report import PlayedCase
from harness.observables import LIKE_X, STATISTICS
from reference.conventions import Conventions
from reference.error_bounds import precision_of

OWN = "x's own type"


@dataclass
class KeptIn(Envelope):
    """Where a statistic is wrong, all that are shown with it must be numbers of the narrow type: by chance one in
    thousands is.
    """

    def shows(self, errors: Errors) -> bool:
        if not all(is_narrower(self.of(case), case) for case in errors.failing):
            return False
        wrong = [d for name in STATISTICS for d in wrong_columns(errors.of_failing).get(name, ())]
        return sum(int(deviation.beyond.sum()) for deviation in wrong) >= ENOUGH and all(
            are_numbers_of(self.of(d.played), d.played.observation.steps[d.step].values[d.column]) for d in wrong
        )

    def of(self, played: PlayedCase) -> str:
        """The type in which a case's statistics are taken to be kept."""
        return played.dtype if self.narrow == OWN else self.narrow


def are_numbers_of(name: str, values: np.ndarray) -> bool:
    finite = values[np.isfinite(values)]
    with np.errstate(over="ignore"):
        return bool((finite.astype(numpy_dtype(name)).astype(finite.dtype) == finite).all())


def is_narrower(name: str, played: PlayedCase) -> bool:
    return precision_of(name).io > precision_of(played.dtype).work


def kept_in(conventions: Conventions, name: str) -> KeptIn:
    """name: of a type, or OWN."""

    def widen(played: PlayedCase) -> PlayedCase:
        of_case = envelope.of(played)
        if not is_narrower(of_case, played):
            return played
        return replace(played, expected=_expected(played.script, conventions, of_case))

    envelope = KeptIn(("statistics_rounded",), f"they are kept in {name}", widen, name)
    return envelope


@lru_cache(KEPT)
def _expected(script: Script, conventions: Conventions, name: str) -> list[Expected]:
    """The same for all targets, as what is prepared for them. Bits may be cut off, which errs by twice as much."""
    of_type = precision_of(name)
    expected = wider_expected(script, conventions, kept=replace(of_type, io=2 * of_type.io))
    _widen_by_range(script, expected, largest_finite(numpy_dtype(name)))
    return expected


def _widen_by_range(script: Script, expected: list[Expected], largest: float) -> None:
    """An average beyond the type's largest number may be anything from then on, and what follows from it."""
    lost = np.zeros((len(script.setups), script.setups[0].num_features), bool)
    for step, of_step in zip(script.steps, expected, strict=False):
        here = lost[step.session]
        by_moving = {name: of_step.bounds[name] for name in STATISTICS if name in of_step.bounds}
        for name, bound in by_moving.items():
            here |= ~(np.abs(of_step.values[name]).astype(np.float64) + bound <= largest)
        names = by_moving if step.trains else of_step.bounds
        for name in names if here.any() else ():
            channels = here.reshape(1, -1, *[1] * (of_step.bounds[name].ndim - 2)) if name in LIKE_X else here
            of_step.bounds[name] = np.where(channels, np.inf, of_step.bounds[name])


def in_every_narrow_type(conventions: Conventions, dtypes: set[str]) -> Iterator[KeptIn]:
    """The narrowest envelope first. dtypes: of the cases; of one alone x's own type is one of those."""
    yield from (kept_in(conventions, name) for name in NARROW)
    if dtypes == {*SIXTEEN_BITS}:
        yield kept_in(conventions, OWN)
