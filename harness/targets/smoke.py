"""Is the adapter right? Asked before the suite asks whether the implementation is.

Only what shows the adapter at fault stops a target, and then as an error of loading, never as a verdict: an object that
cannot be built or called at any rank, results under wrong names, a y without x's shape. A wrong number does not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.cases.script import Script, Setup, Step, numpy_dtype, parameter_dtype
from harness.findings import Note
from harness.observables import OBSERVABLES
from harness.targets.load import TargetError
from harness.targets.player import Death, Description, Failure, Observation, Player, StepResult

CHANNELS = 3
SHAPES = {2: (4, 3), 3: (4, 3, 5), 4: (4, 3, 5, 2), 5: (2, 3, 5, 2, 4)}
ADAPTER_ERROR = "AdapterError"
"""The exception of a wrapper that does not fit: its message is meant for the user as it stands."""


@dataclass(frozen=True)
class SmokeResult:
    """Whether a target does anything sensible at a rank and dtype: `problem` says what it does instead."""

    works: bool
    problem: str = ""


def smoke(player: Player) -> tuple[Description, list[Note]]:
    """(the description, narrowed to the ranks and dtypes that it takes; what was refused). Raises TargetError.

    A class that was written to the contract says itself what it takes, and is left alone. Nor are ranks and dtypes
    narrowed that a wrapped target declares: where it fails at one of those, that is for the cases to judge.
    """
    description = player.describe()
    if not description.adapter:
        return description, []
    float32_first = sorted(description.dtypes, key=lambda dtype: dtype != "float32")
    by_rank: dict[int, SmokeResult] = {}
    for rank in description.ranks:
        fit = _fit(player, rank, float32_first[0])
        if fit is None:
            return description, []  # the process died: that is for the cases to tell
        by_rank[rank] = fit
        if fit.works and "ranks" in description.declared:
            break
    ranks = tuple(rank for rank, fit in by_rank.items() if fit.works)
    if not ranks:
        problems = {fit.problem for fit in by_rank.values()}
        listed = "; ".join(f"rank {rank}: {fit.problem}" for rank, fit in by_rank.items())
        why = problems.pop() if len(problems) == 1 else listed
        raise TargetError(f"target {player.name!r}: the adapter ({description.adapter}) does not fit: {why}")
    if "ranks" in description.declared:
        by_rank, ranks = {}, description.ranks
    guessed_dtypes = [] if "dtypes" in description.declared else float32_first[1:]
    by_dtype = {dtype: _fit(player, ranks[0], dtype) for dtype in guessed_dtypes}
    refused = {f"rank {rank}": fit for rank, fit in by_rank.items() if not fit.works}
    refused |= {dtype: fit for dtype, fit in by_dtype.items() if fit and not fit.works}
    notes = [Note("refuses", f"it does not take {what}: {fit.problem}") for what, fit in refused.items()]
    dtypes = tuple(dtype for dtype in description.dtypes if dtype not in refused)
    return player.narrow(ranks=ranks, dtypes=dtypes), notes


def _fit(player: Player, rank: int, dtype: str) -> SmokeResult | None:
    """Whether prediction or training works at this rank, with the channels on axis 1 or -1. None after a death."""
    fits = []
    for axis in (1, -1):
        observations = []
        for op in ("eval", "train"):
            answer = player.play(script(op, rank, dtype), axis)
            if isinstance(answer, Death):
                return None
            observations.append(answer)
        fit = _judged(observations, rank)
        if fit.works:
            return fit
        fits.append(fit)
    return fits[0]


def _judged(observations: list[Observation], rank: int) -> SmokeResult:
    """It works where one of the two modes gives what it should and none gives something of a wrong shape."""
    problems: list[str] = []
    works = False
    for observation in observations:
        if observation.build_error or observation.build_unsupported is not None:
            return SmokeResult(False, _message(observation.build_error, observation.build_unsupported))
        for result in observation.steps:
            malformed = result.malformed.message if result.malformed else None
            if result.error or result.unsupported is not None or result.malformed:
                problems.append(_message(result.error, result.unsupported or malformed))
                continue
            wrong_shape = _wrong_shape(result, rank)
            if wrong_shape or not result.values:
                return SmokeResult(False, wrong_shape or f"{result.op} gave nothing")
            works = True
    return SmokeResult(True) if works else SmokeResult(False, (problems or ["it did nothing"])[0])


def _message(error: Failure | None, otherwise: str | None) -> str:
    if error is None:
        return otherwise or ""
    return error.message if error.kind == ADAPTER_ERROR else str(error)


def _wrong_shape(result: StepResult, rank: int) -> str:
    for name, value in result.values.items():
        expected = SHAPES[rank] if OBSERVABLES[name].like_x else (CHANNELS,)
        if value.shape != expected:
            return f"{result.op} gave {name} of shape {value.shape}, not {expected}"
    return ""


def script(op: str, rank: int, dtype: str) -> Script:
    """One step of prediction or training, on values to check in the head.

    Each channel holds 0 and 2 in turn: mean 1, variance 1. gamma 1, beta 0, moving mean 0, moving variance 1: but for
    eps, prediction gives x back and training gives -1 and 1.
    """
    kind = parameter_dtype(dtype)
    ones, zeros = np.ones(CHANNELS, kind), np.zeros(CHANNELS, kind)
    setup = Setup(CHANNELS, rank, dtype, 1e-5, 0.125, ones, zeros, zeros, ones)
    x = np.zeros(SHAPES[rank], numpy_dtype(dtype))
    x[::2] = 2
    return Script((setup,), (Step(op, x, np.ones_like(x)),))
