"""Is the adapter right? Asked before the suite asks whether the implementation is.

Only what shows the adapter at fault stops a target, and then as an error of loading, never as a verdict: an object that
cannot be built or called at any rank, results under wrong names, a y without x's shape. A wrong number does not.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from harness.cases.case import Script, Setup, Step, numpy_dtype, parameter_dtype
from harness.targets.isolate import Death, IsolatedTarget
from harness.targets.load import Description, TargetError
from harness.targets.play import Observation, Played

CHANNELS = 3
SHAPES = {2: (4, 3), 3: (4, 3, 5), 4: (4, 3, 5, 2), 5: (2, 3, 5, 2, 4)}
Note = dict[str, str]


def smoke(isolated: IsolatedTarget) -> tuple[Description, list[Note]]:
    """(the description, narrowed to the ranks and dtypes that it takes, what was refused). Raises TargetError.

    A class that was written to the contract says itself what it takes, and is left alone.
    """
    description = isolated.describe()
    if not description.adapter:
        return description, []
    wide_first = sorted(description.dtypes, key=lambda dtype: dtype != "float32")
    refused: dict[int, str] = {}
    for rank in description.ranks:
        problem = _problem(isolated, rank, wide_first[0])
        if problem is None:
            return description, []  # the process died: that is for the cases to tell
        if problem:
            refused[rank] = problem
    ranks = tuple(rank for rank in description.ranks if rank not in refused)
    if not ranks:
        told = "; ".join(f"rank {rank}: {problem}" for rank, problem in refused.items())
        told = next(iter(refused.values())) if len(set(refused.values())) == 1 else told
        raise TargetError(f"target {isolated.name!r}: the adapter ({description.adapter}) does not fit: {told}")
    narrow = {dtype: _problem(isolated, ranks[0], dtype) for dtype in wide_first[1:]}
    said = {f"rank {rank}": problem for rank, problem in refused.items()} | {k: v for k, v in narrow.items() if v}
    notes = [{"id": "refuses", "text": f"it does not take {what}: {problem}"} for what, problem in said.items()]
    dtypes = tuple(dtype for dtype in description.dtypes if not narrow.get(dtype))
    return isolated.narrow(ranks=ranks, dtypes=dtypes), notes


def _problem(isolated: IsolatedTarget, rank: int, dtype: str) -> str | None:
    """ "" where prediction or training works at this rank, with the channels on axis 1 or -1; None after a death."""
    problems = []
    for axis in (1, -1):
        seen = Observation()
        for op in ("eval", "train"):
            answer = isolated.play(script(op, rank, dtype), axis)
            if isinstance(answer, Death):
                return None
            seen = replace(answer, steps=seen.steps + answer.steps)
        problem = _told(seen, rank)
        if not problem:
            return ""
        problems.append(problem)
    return problems[0]


def _told(seen: Observation, rank: int) -> str:
    """What is wrong with the object, the names or the shapes; "" where one of the two modes gives what it should."""
    refusal = seen.build_error or seen.build_unsupported
    if refusal:
        return refusal.removeprefix("AdapterError: ")
    problems, good = [], 0
    for step in seen.steps:
        if step.error or step.unsupported or step.malformed:
            problems.append((step.error or step.unsupported or step.malformed or "").removeprefix("AdapterError: "))
            continue
        wrong = _wrong_shapes(step, rank)
        if wrong or not step.values:
            return wrong or f"{step.op} gave nothing"
        good += 1
    return "" if good else (problems or ["it did nothing"])[0]


def _wrong_shapes(step: Played, rank: int) -> str:
    for name, value in step.values.items():
        owed = SHAPES[rank] if name in ("y", "dx") else (CHANNELS,)
        if value.shape != owed:
            return f"{step.op} gave {name} of shape {value.shape}, not {owed}"
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
