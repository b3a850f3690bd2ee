"""An Observation against the oracle: one Judgement an observable a step, and what they add up to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from harness.cases.case import Case, Script, numpy_dtype
from harness.judge.oracle import Expected
from harness.targets.play import Observation, Played
from reference.error_bounds import precision_of

AGREE, DIFFER, RAISED, INCONCLUSIVE = "agree", "differ", "raised", "inconclusive"
UNSUPPORTED, CRASHED, TIMED_OUT, NOT_RUN = "unsupported", "crashed", "timed_out", "not_run"
NOTED = "noted"  # a policy case in which the target does otherwise than the oracle: behaviour, not a fault
VERDICTS = (AGREE, DIFFER, RAISED, INCONCLUSIVE, UNSUPPORTED, CRASHED, TIMED_OUT, NOT_RUN, NOTED)
WORST_FIRST = (CRASHED, TIMED_OUT, DIFFER, RAISED, AGREE)
PROVES_SOMETHING = 1e-2
"""A bound above this share of a channel's RMS proves nothing (DESIGN.md), unless 8 u of the dtype is more."""

DIRECTIONS = {
    "y": "forward",
    "dx": "backward",
    "dgamma": "backward",
    "dbeta": "backward",
    "moving_mean": "moving_stats",
    "moving_var": "moving_stats",
}


@dataclass
class Judgement:
    """One comparison. `index` is the place, in x's channels-first layout, where the ratio is greatest."""

    case: str
    dtype: str
    step: int | None
    op: str | None
    observable: str | None
    kind: str  # "law" | "policy"
    verdict: str
    error: float | None = None
    bound: float | None = None
    ratio: float | None = None
    index: list[int] | None = None
    got: float | None = None
    want: float | None = None
    message: str | None = None
    inconclusive_channels: int = 0

    @property
    def direction(self) -> str | None:
        return DIRECTIONS.get(self.observable or "")

    @property
    def counts_against(self) -> bool:
        return self.kind == "law" and self.verdict in (DIFFER, RAISED, CRASHED, TIMED_OUT)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def judge(case: Case, script: Script, expected: list[Expected], seen: Observation) -> list[Judgement]:
    """Every judgement of one case in one dtype. What could not be compared is a judgement as well."""
    dtype = script.setups[0].dtype
    kind = "policy" if case.policy == "all" else "law"
    if seen.build_unsupported:
        return [Judgement(case.id, dtype, None, None, None, kind, UNSUPPORTED, message=seen.build_unsupported)]
    if seen.build_error:
        verdict = NOTED if kind == "policy" else RAISED
        return [Judgement(case.id, dtype, None, None, None, kind, verdict, message=seen.build_error)]
    judged: list[Judgement] = []
    for number, (played, want) in enumerate(zip(seen.steps, expected, strict=False)):
        judged += _judge_step(case, script, number, played, want, kind)
    for one in judged:
        if one.kind == "policy" and one.verdict in (DIFFER, RAISED):
            one.verdict = NOTED
    return judged


def _judge_step(case: Case, script: Script, number: int, played: Played, want: Expected, kind: str) -> list[Judgement]:
    dtype = script.setups[0].dtype
    where = (case.id, dtype, number, played.op)
    if played.unsupported:
        return [Judgement(*where, None, kind, UNSUPPORTED, message=played.unsupported)]
    if want.raises:
        refused = played.error is not None
        message = None if refused else "one value per channel: an error is declared, a result came"
        return [Judgement(*where, None, kind, AGREE if refused else DIFFER, message=message or played.error)]
    if played.error:
        return [Judgement(*where, None, kind, RAISED, message=played.error)]
    judged: list[Judgement] = []
    if played.malformed:
        judged.append(Judgement(*where, None, kind, DIFFER, message=played.malformed))
    for name in played.mutated:
        judged.append(Judgement(*where, None, "law", DIFFER, message=f"the input {name} was modified"))
    for observable, value in want.values.items():
        if observable in played.values:
            judged += _compare(case, script, where, observable, played.values[observable], value, want, kind)
        else:
            message = f"{played.op} gave no {observable}"
            judged.append(Judgement(*where, observable, kind, UNSUPPORTED, message=message))
    return judged


def _compare(
    case: Case,
    script: Script,
    where: tuple[str, str, int, str],
    observable: str,
    got: np.ndarray,
    want: np.ndarray,
    expected: Expected,
    kind: str,
) -> list[Judgement]:
    """The law channels of an observable as one judgement, the policy channels as another."""
    step = script.steps[where[2]]
    shape_error = _wrong_form(observable, got, want, None if step.x is None else step.x.dtype)
    if shape_error:
        return [Judgement(*where, observable, kind, DIFFER, message=shape_error)]
    channels = want.shape[1] if want.ndim > 1 else want.shape[0]
    policy = np.array([case.is_policy(c) for c in range(channels)])
    single = case.values_per_channel == 1 and where[3].startswith("train")
    bound = expected.bounds.get(observable)
    if bound is None:
        bound = np.zeros(want.shape)
    masks = {"law": ~policy, "policy": policy}
    if single and observable == "moving_var" and not np.isfinite(want.astype(np.float64)).all():
        masks = {"law": policy & False, "policy": policy | True}
    unit = precision_of(where[1])
    u = unit.io if observable in ("y", "dx") else unit.work
    return [
        _measure(Judgement(*where, observable, name, AGREE), got, want, bound, _spread(mask, want), u)
        for name, mask in masks.items()
        if mask.any()
    ]


def _spread(channel_mask: np.ndarray, want: np.ndarray) -> np.ndarray:
    """(C,) -> want's shape."""
    shape = (1, -1, *[1] * (want.ndim - 2)) if want.ndim > 1 else (-1,)
    return np.broadcast_to(channel_mask.reshape(shape), want.shape)


def _wrong_form(observable: str, got: np.ndarray, want: np.ndarray, dtype: np.dtype | None) -> str | None:
    if got.shape != want.shape:
        return f"expected shape {want.shape} (channels on axis 1), got {got.shape}"
    if observable in ("y", "dx") and dtype is not None and got.dtype != dtype:
        return f"expected dtype {dtype.name}, got {got.dtype.name}"
    if got.dtype.kind not in "fV" and got.dtype != numpy_dtype("bfloat16"):
        return f"expected a floating-point array, got {got.dtype.name}"
    return None


def conclusive(bound: np.ndarray, want: np.ndarray, u: float) -> np.ndarray:
    """Where a comparison proves something: bound <= max(1e-2, 8 u) times the RMS of the channel's values."""
    values = np.abs(want.astype(np.float64))
    axes = (0, *range(2, want.ndim)) if want.ndim > 1 else ()
    peak = values.max(axis=axes, keepdims=True, initial=0.0)
    safe = np.where(peak > 0, peak, 1.0)
    rms = safe * np.sqrt(((values / safe) ** 2).mean(axis=axes, keepdims=True)) if values.size else safe
    return bound <= max(PROVES_SOMETHING, 8 * u) * np.where(peak > 0, rms, 0.0)


def _measure(
    record: Judgement, got: np.ndarray, want: np.ndarray, bound: np.ndarray, mask: np.ndarray, u: float
) -> Judgement:
    """Fill in the greatest error/bound among `mask` and the verdict that follows."""
    with np.errstate(all="ignore"):
        proves = conclusive(bound, want, u) & mask
        error = np.abs(got.astype(want.dtype) - want).astype(np.float64)
        same = (got.astype(want.dtype) == want) | (np.isnan(got.astype(want.dtype)) & np.isnan(want))
        error = np.where(same, 0.0, error)
        ratio = np.where(error == 0, 0.0, error / bound)
    want_finite = np.isfinite(want.astype(np.float64))
    broken = mask & want_finite & ~np.isfinite(got.astype(np.float64)) & np.isfinite(bound)
    ratio = np.where(broken | np.isnan(ratio), np.inf, ratio)
    counted = broken | (proves & want_finite)
    record.inconclusive_channels = _channels(mask & ~counted)
    if not mask.size:
        return record
    if not counted.any():
        record.verdict = INCONCLUSIVE
        counted = mask
    index = np.unravel_index(int(np.argmax(np.where(counted, ratio, -1.0))), want.shape)
    record.index = [int(i) for i in index]
    record.error, record.bound, record.ratio = float(error[index]), float(bound[index]), float(ratio[index])
    record.got, record.want = float(got[index]), float(want[index])
    if record.verdict != INCONCLUSIVE and record.ratio > 1:
        record.verdict = DIFFER
        if broken.any():
            record.message = "not finite where a finite number is owed"
    return record


def _channels(mask: np.ndarray) -> int:
    axes = (0, *range(2, mask.ndim)) if mask.ndim > 1 else ()
    return int(mask.all(axis=axes).sum()) if mask.size else 0


def overall(judgements: Iterable[Judgement]) -> str:
    """A target's verdict: the worst of its law judgements; `inconclusive` where nothing could be judged."""
    seen = {j.verdict for j in judgements if j.kind == "law"}
    for verdict in WORST_FIRST:
        if verdict in seen:
            return verdict
    return INCONCLUSIVE if INCONCLUSIVE in seen else (NOT_RUN if NOT_RUN in seen else UNSUPPORTED)


def counts(judgements: Iterable[Judgement]) -> dict[str, int]:
    """How many of each verdict, zeros included."""
    found = Counter(j.verdict for j in judgements)
    return {verdict: found[verdict] for verdict in VERDICTS}
