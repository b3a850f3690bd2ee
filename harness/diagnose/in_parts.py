"""What automatic differentiation leaves of 16-bit input: dx is added up from parts, each rounded to 16 bits.

x is cast to float32 in several places, and a part of dx comes back through each cast: gamma * scale * dy through
y = (x - mean) * scale + beta, and what flows through the statistics. A small sum of large parts has no digits. As an
envelope this is narrow: the parts are of the size of dx, except where they cancel.

Where a layer promotes its parameters to x's type, gamma and beta are rounded, their gradients are summed or kept in 16
bits, and prediction, which has no statistic to compute in float32, is in 16 bits throughout.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from harness.cases.case import Script, Step
from harness.diagnose.deviations import constant_factor, wrong_columns
from harness.diagnose.envelopes import Envelope, fast_variance
from harness.diagnose.evidence import Evidence
from harness.diagnose.fewer_bits import in_fewer_bits
from harness.diagnose.mistakes.rounded_parameters import SIXTEEN_BITS, RoundedParameters
from harness.diagnose.rounding import Errors, errors_are_of_its_size
from harness.diagnose.suspects import Suspect
from harness.judge.expected import Expected
from harness.judge.kept_expected import wider_expected
from harness.judge.oracle import OracleLayer
from harness.judge.prepare import KEPT
from harness.judge.report import PlayedCase
from reference.batch_norm import from_rows, to_rows
from reference.conventions import Conventions
from reference.error_bounds import precision_of

ROUNDINGS = 2
"""Of each part: when it is cast, and when it is added."""
DETAIL = "dx is added up from parts that are each rounded to 16 bits"
OF_PARTS = "low_precision_stats"


@dataclass
class InParts(Envelope):
    """Gradients of 16-bit input in parts. Its parts must err, and not by one factor."""

    def shows(self, errors: Errors) -> bool:
        wrong = wrong_columns(errors.of_failing)
        if any(constant_factor(of_column) is not None for of_column in wrong.values()):
            return False
        if "fast_variance" in self.ids and not self.lacking[OF_PARTS].shows(errors):
            return False
        return errors_are_of_its_size((case, self.around(case)) for case in errors.failing)


def in_parts(conventions: Conventions, promoted: bool, fast: bool) -> InParts:
    """promoted: of a layer that promotes its parameters. fast: the variance is E[x^2] - E[x]^2, in float32."""

    def widen(played: PlayedCase) -> PlayedCase:
        expected = _with_parts(played.script, conventions, fast)
        if promoted:
            narrower = in_fewer_bits(played, conventions, played.dtype).expected
            expected = [*map(_promoted, played.script.steps, expected, narrower)]
        return replace(played, expected=expected)

    lacking = {}
    if fast:
        lacking = {"fast_variance": in_parts(conventions, promoted, False), OF_PARTS: fast_variance(conventions)}
    return InParts(
        (*(("fast_variance",) if fast else ()), OF_PARTS), DETAIL, widen, lacking=lacking, is_narrow=not fast
    )


def _promoted(step: Step, expected: Expected, narrower: Expected) -> Expected:
    """With those of the narrower bounds that are of 16-bit arithmetic."""
    names = ("dgamma", "dbeta") if step.trains else ("y", "dx", "dgamma", "dbeta")
    wider = {
        name: np.fmax(expected.bounds[name], narrower.bounds[name])
        for name in names
        if name in expected.bounds and name in narrower.bounds
    }
    return replace(expected, bounds=expected.bounds | wider)


@lru_cache(KEPT)
def _with_parts(script: Script, conventions: Conventions, fast: bool) -> list[Expected]:
    """The same for all targets, as what is prepared for them."""
    expected = wider_expected(script, conventions, fast_variance=fast)
    layers = [OracleLayer.from_setup(setup, conventions) for setup in script.setups]
    unit = precision_of(script.setups[0].dtype)
    for step, of_step in zip(script.steps, expected, strict=False):
        if step.op == "train" and step.mask is None and step.x is not None and step.x.size and "dx" in of_step.bounds:
            rounding = ROUNDINGS * (unit.io * parts_of_dx(step, layers[step.session]) + unit.io_tiny)
            of_step.bounds["dx"] = of_step.bounds["dx"] + rounding
    return expected


def parts_of_dx(step: Step, layer: OracleLayer) -> np.ndarray:
    """The sizes, added up, of what comes back to x through y = (x - mean) * scale, the mean and the variance."""
    assert step.x is not None
    assert step.dy is not None
    rows, dy = (to_rows(array.astype(layer.gamma.dtype), 1) for array in (step.x, step.dy))  # (n, C), (n, C)
    mean, var = layer.batch_statistics(rows)  # (C,), (C,)
    scale = layer.inverse_std(var)  # (C,)
    x_hat = (rows - mean) * scale  # (n, C)
    slope = np.abs(layer.variance_slope(var, scale))  # (C,) or 1
    through_var = slope * np.abs(x_hat * (dy * x_hat).mean(axis=0))  # (n, C)
    parts = np.abs(layer.gamma * scale) * (np.abs(dy) + np.abs(dy.mean(axis=0)) + through_var)  # (n, C)
    return from_rows(parts, step.x.shape, 1)


# --- the suspects ---


def suspects(conventions: Conventions, others: list[Suspect]) -> Iterator[Suspect]:
    """The simplest first. others: what explains other types, and may well be made here as well."""
    fixed = [
        Suspect((), (OracleLayer,)),
        *(Suspect(other.ids[: len(other.classes)], other.classes) for other in others),
    ]
    fixed = [suspect for suspect in fixed if suspect.ids or suspect.classes == (OracleLayer,)]
    for fast in (False, True):
        parts, promoted = in_parts(conventions, False, fast), in_parts(conventions, True, fast)
        for suspect in fixed:
            yield Suspect(suspect.ids + parts.ids, suspect.classes, DETAIL, parts)
        for suspect in fixed:
            classes = (*(layer for layer in suspect.classes if layer is not OracleLayer), RoundedParameters)
            ids = (*suspect.ids, "parameters_rounded")
            yield Suspect(ids + promoted.ids, classes, DETAIL, promoted)


def by_parts(evidence: Evidence, others: list[Suspect]) -> Iterator[Suspect]:
    """The first that explains 16-bit input, by which alone it can be told."""
    if not all(played.dtype in SIXTEEN_BITS for played in evidence.played):
        return
    for suspect in suspects(evidence.conventions, others):
        assert suspect.envelope is not None
        if suspect.envelope.shows(evidence.errors) and evidence.explained_by(suspect):
            yield suspect
            return
