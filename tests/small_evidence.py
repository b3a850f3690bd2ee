"""Evidence that is small enough for a rule: a layer of ours plays the target, on a few values, and is really judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from harness.cases.case import Case
from harness.cases.script import numpy_dtype, parameter_dtype
from harness.diagnose.evidence import Evidence
from harness.judge.judge import judge
from harness.judge.oracle import OracleLayer
from harness.judge.prepare import PreparedCase, prepare
from harness.judge.report import PlayedCase, TargetReport
from harness.observables import OBSERVABLES
from harness.targets.player import Failure, Observation, StepResult
from reference.conventions import PRESETS, Conventions

D2L, TORCH = PRESETS["d2l"], PRESETS["torch"]


def case(name: str = "a", **fields) -> Case:
    """A prediction after a training step, on four samples and three channels."""
    return Case(name, "why", **{"shape": (4, 3), "script": ("train", "eval")} | fields)


A, B = case("a"), case("b", eps=1e-3, new_weight=0.5)
PLAYS = ((A, "float64"), (B, "float64"))


@dataclass(frozen=True)
class Target:
    """A layer, right where `wrong_in` does not hold; `change` takes (op, observable, array) and gives another array."""

    layer: type[OracleLayer] = OracleLayer
    wrong_in: Callable[[Case, str], bool] | None = None
    change: Callable[[str, str, np.ndarray], np.ndarray] | None = None


@cache
def prepared(case: Case, dtype: str, conventions: Conventions) -> PreparedCase:
    return prepare(case, dtype, 0, conventions)


def play(target: Target | type[OracleLayer], case: Case, dtype: str, conventions: Conventions = D2L) -> PlayedCase:
    """What the target gives, rounded to the types that it returns, beside what the oracle expects."""
    target = target if isinstance(target, Target) else Target(target)
    ready = prepared(case, dtype, conventions)
    layer = target.layer if target.wrong_in is None or target.wrong_in(case, dtype) else OracleLayer
    sessions = [layer.from_setup(setup, conventions) for setup in ready.script.setups]
    results = []
    for step in ready.script.steps:
        try:
            with np.errstate(all="ignore"):
                values = sessions[step.session].play(step)
        except (ValueError, IndexError, ZeroDivisionError) as error:
            results.append(StepResult(step.op, step.session, error=Failure(type(error).__name__, str(error))))
            break
        given = {name: rounded(name, value, dtype) for name, value in values.items()}
        if target.change:
            given = {name: target.change(step.op, name, value) for name, value in given.items()}
        results.append(StepResult(step.op, step.session, given))
    observation = Observation(results)
    judgements = judge(case, ready.script, ready.expected, observation)
    return PlayedCase(case, dtype, ready.script, ready.expected, observation, judgements)


def with_dx_off(played: PlayedCase, share: float) -> PlayedCase:
    """The case as judged where every dx is off by a share of itself."""
    steps = [
        replace(result, values=result.values | {"dx": result.values["dx"] * (1 + share)})
        for result in played.observation.steps
    ]
    observation = Observation(steps)
    judgements = judge(played.case, played.script, played.expected, observation)
    return replace(played, observation=observation, judgements=judgements)


def rounded(name: str, value: np.ndarray, dtype: str) -> np.ndarray:
    kind = numpy_dtype(dtype) if OBSERVABLES[name].like_x else parameter_dtype(dtype)
    with np.errstate(all="ignore"):
        return value.astype(np.float64).astype(kind)


def evidence(target, *plays, conventions: Conventions = D2L) -> Evidence:
    """plays: (case, dtype), those of `PLAYS` where there are none."""
    return Evidence([play(target, *each, conventions) for each in plays or PLAYS], conventions)


def report(target, *plays, conventions: Conventions = D2L, name: str = "made up") -> TargetReport:
    played = [play(target, *each, conventions) for each in plays or PLAYS]
    judgements = [judgement for each in played for judgement in each.judgements]
    return TargetReport(name, conventions, played=played, judgements=judgements)


def known(identity: str, number: int = 0) -> type[OracleLayer]:
    """A variant of a known mistake."""
    from harness.diagnose.mistakes.known import KNOWN
    from harness.diagnose.mistakes.known_derivatives import OF_DERIVATIVES

    return [variant for entry in KNOWN + OF_DERIVATIVES if entry.id == identity for variant in entry.variants][number]
