"""A gradient times an unknown constant: the factor is the slope of what was observed against what is owed."""

from __future__ import annotations

import numpy as np

from harness.diagnose.deviations import deviations, slope
from harness.diagnose.evidence import Evidence
from harness.diagnose.fitted import roundings
from harness.diagnose.mistakes.gradient_factors import times
from harness.diagnose.mistakes.in_mode import only_in
from harness.diagnose.suspects import Suspect
from harness.judge.oracle import OracleLayer
from harness.judge.report import PlayedCase
from harness.observables import OBSERVABLES, Direction, column

GRADIENTS = {name for name, observable in OBSERVABLES.items() if observable.direction is Direction.backward}
MODES = {"train": "in training", "eval": "in prediction"}


def by_factor(evidence: Evidence) -> Suspect | None:
    """The gradients that are wrong, all of them times one number. At least two cases must fail, in gradients alone."""
    wrong = {
        (str(judgement.op), str(judgement.observable))
        for played in evidence.failing
        for judgement in played.judgements
        if judgement.counts_against
    }
    ops, names = {op for op, _ in wrong}, sorted({observable for _, observable in wrong})
    if not set(names) <= GRADIENTS or not ops <= set(MODES) or len(_ids(evidence.failing)) < 2:
        return None
    factor = factor_in(evidence.failing[0], ops, names)
    if factor is None:
        return None
    for rounded in roundings(factor):
        suspect = Suspect(("gradient_scaled",), (layer_with(rounded, ops, names),), in_words(rounded, ops, names))
        if evidence.explained_by(suspect):
            return suspect
    return None


def _ids(cases: list[PlayedCase]) -> set[str]:
    return {played.case.id for played in cases}


def factor_in(played: PlayedCase, ops: set[str], names: list[str]) -> float | None:
    """Of one case. None where there is nothing but zeros."""
    columns = {column(name, op) for op in ops for name in names}
    of_case = [deviation for deviation in deviations([played]) if deviation.column in columns]
    if not of_case:
        return None
    return slope(np.concatenate([d.got for d in of_case]), np.concatenate([d.want for d in of_case]))


def layer_with(factor: float, ops: set[str], names: list[str]) -> type[OracleLayer]:
    layer = times(factor, *names)
    return layer if len(ops) == len(MODES) else only_in(next(iter(ops)), layer)


def in_words(factor: float, ops: set[str], names: list[str]) -> str:
    where = "" if len(ops) == len(MODES) else f" {MODES[next(iter(ops))]}"
    return f"{' and '.join(names)} times {factor:.6g}{where}"
