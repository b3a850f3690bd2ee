"""Evidence: the cases to explain, and whether a suspect explains them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache

import numpy as np

from harness.cases.case import Script
from harness.diagnose import tuning
from harness.diagnose.fitted import Fitting
from harness.diagnose.misfit import fits, is_as_sensitive, misfit
from harness.diagnose.replay import is_small
from harness.diagnose.rounding import Errors
from harness.diagnose.suspects import Suspect
from harness.judge.expected import Expected
from harness.judge.judgement import Verdict
from harness.judge.kept_expected import wider_expected
from harness.judge.oracle import OracleLayer
from harness.judge.prepare import KEPT
from harness.judge.report import PlayedCase
from reference.conventions import Conventions


@dataclass
class Evidence:
    """The cases to explain, the worst failures first."""

    played: list[PlayedCase]
    conventions: Conventions
    failing: list[PlayedCase] = field(default_factory=list)
    """Those that the oracle does not explain, even with the leniency that a mistake gets."""
    _in_any_mode: dict[int, PlayedCase] = field(default_factory=dict)
    _misfits: dict[tuple[type[OracleLayer], int], float] = field(default_factory=dict)
    _fits: dict[tuple[type[OracleLayer], int], bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.played.sort(key=lambda played: (-_worst_ratio(played), input_size(played)))
        self.failing = [
            played for played in self.played if not agrees(played) and not self._fits_without_mistake(played)
        ]

    def _fits_without_mistake(self, played: PlayedCase) -> bool:
        worst = self.misfit(OracleLayer, played)  # which is kept: whatever is to explain the case must come closer
        return worst <= 1 or (worst < np.inf and is_as_sensitive(OracleLayer, played, self.conventions))

    @cached_property
    def shortest_first(self) -> list[PlayedCase]:
        """In the order in which suspects are tried: a wrong one is dismissed by the first case that it does not fit.

        Failing cases come first, and of them small ones, whose replays are kept, and then short ones, in which many
        targets fail, so that they are kept already.
        """
        return sorted(
            self.played,
            key=lambda case: (
                _worst_ratio(case) == 0,
                not is_small(case.script),
                len(case.script.steps),
                input_size(case),
            ),
        )

    @cached_property
    def errors(self) -> Errors:
        return Errors(self.failing, self.played)

    @cached_property
    def fitting(self) -> Fitting:
        return Fitting(self.failing, self.conventions, self.layer_fits)

    def in_any_mode(self, played: PlayedCase) -> PlayedCase:
        """The case with the bounds of a target that may take one mode for the other."""
        if id(played) not in self._in_any_mode:
            expected = _expected_in_any_mode(played.script, self.conventions)
            self._in_any_mode[id(played)] = replace(played, expected=expected)
        return self._in_any_mode[id(played)]

    def fits(self, suspect: Suspect, played: PlayedCase) -> bool:
        """Whether the suspect explains one case; where its condition does not hold, the oracle must."""
        if suspect.holds is not None and not suspect.holds(played):
            return not any(played is case for case in self.failing)
        if suspect.envelope is None:
            return self.layer_fits(suspect.layer, played)
        # the oracle itself needs no slack inside an envelope: its bounds are that mistake's own
        envelope = suspect.envelope
        of_another = None if envelope.is_narrow else tuning.SLACK
        slack = 1.0 if suspect.layer is OracleLayer else of_another
        if not envelope.is_made(played) and fits(suspect.layer, played, self.conventions, within=slack):
            return True  # which needs no wider bounds
        return fits(suspect.layer, envelope.around(played), self.conventions, within=slack)

    def layer_fits(self, layer: type[OracleLayer], played: PlayedCase) -> bool:
        """Whether a layer explains one case, by the bounds of a target that may take one mode for the other.

        What fits by the honest bounds needs no wider ones: they take longer to make than to compare with.
        """
        key = (layer, id(played))
        if key not in self._fits:
            in_honest_bounds = id(played) not in self._in_any_mode and self.misfit(layer, played) <= 1
            self._fits[key] = in_honest_bounds or fits(layer, self.in_any_mode(played), self.conventions)
        return self._fits[key]

    def misfit(self, layer: type[OracleLayer], played: PlayedCase) -> float:
        """That of a layer in one case, in tolerances of the honest bounds."""
        key = (layer, id(played))
        if key not in self._misfits:
            self._misfits[key] = misfit(layer, played, self.conventions)
        return self._misfits[key]

    def explained_by(self, suspect: Suspect) -> bool:
        """Whether the suspect fits every case, and each failing one better than the oracle does.

        In some failing case the first step must give values: an exception on both sides shows nothing.
        """
        return (
            all(self.fits(suspect, played) for played in self.shortest_first)
            and any(played.observation.steps and played.observation.steps[0].error is None for played in self.failing)
            and (suspect.envelope is not None or all(self.is_closer(suspect, played) for played in self.failing))
        )

    def is_closer(self, suspect: Suspect, played: PlayedCase) -> bool:
        """Whether the mistake comes closer to what was observed than the oracle: a tolerance may be wide for both."""
        without = tuning.MUST_SHRINK_TO * self.misfit(OracleLayer, played)
        return self.misfit(suspect.layer, played) <= without

    def without(self, unwanted: Iterable[PlayedCase]) -> Evidence:
        """The same evidence less some cases."""
        dropped = {id(played) for played in unwanted}
        return Evidence([played for played in self.played if id(played) not in dropped], self.conventions)


@lru_cache(KEPT)
def _expected_in_any_mode(script: Script, conventions: Conventions) -> list[Expected]:
    """The same for all targets, as what is prepared for them."""
    return wider_expected(script, conventions, any_mode=True)


def agrees(played: PlayedCase) -> bool:
    """Whether everything was compared, and is within the honest bounds: then the oracle explains it."""
    verdicts = [judgement.verdict for judgement in played.judgements]
    return bool(verdicts) and all(verdict is Verdict.agree for verdict in verdicts)


def input_size(played: PlayedCase) -> int:
    """How many values go in over all steps."""
    return sum(step.x.size for step in played.script.steps if step.x is not None)


def _worst_ratio(played: PlayedCase) -> float:
    """The largest finite error/bound among the failures of a case: 0.5 where there is none, 0 where nothing failed.

    What is not finite, or raised, tells little: it comes after every failure by a number.
    """
    failed = [judgement for judgement in played.judgements if judgement.counts_against]
    ratios = [judgement.ratio for judgement in failed if judgement.ratio is not None]
    return max((ratio for ratio in ratios if ratio < float("inf")), default=0.5 if failed else 0.0)
