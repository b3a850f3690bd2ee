"""An Observation against the oracle: one Judgement for each observable of each step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

import numpy as np

from harness.cases.case import Case, Script, numpy_dtype
from harness.judge.expected import Expected
from harness.judge.judgement import Judgement, Kind, Reason, Verdict
from harness.observables import OBSERVABLES
from harness.targets.player import Observation, StepResult
from reference.error_bounds import precision_of

PROVES_SOMETHING = 1e-2
"""A bound above this share of a channel's RMS proves nothing, unless 8 unit roundoffs of the dtype are more."""

ROUNDOFFS_THAT_PROVE = 8


@dataclass(frozen=True)
class Place:
    """Where in a case a judgement belongs, and whether law or policy decides there."""

    case: Case
    dtype: str
    kind: Kind
    step: int | None = None
    op: str | None = None

    def judgement(
        self, verdict: Verdict, reason: Reason, message: str | None = None, observable: str | None = None
    ) -> Judgement:
        return Judgement(
            self.case.id, self.dtype, self.step, self.op, observable, self.kind, verdict, reason, message=message
        )

    def if_it_refuses(self) -> Place:
        """The same for an exception, which is no fault where the case asks for something unusual."""
        return replace(self, kind=Kind.policy) if self.case.may_refuse else self


def place_of(case: Case, dtype: str) -> Place:
    return Place(case, dtype, Kind.policy if case.policy == "all" else Kind.law)


def judge(case: Case, script: Script, expected: list[Expected], observation: Observation) -> list[Judgement]:
    """Every judgement of one case in one dtype. What could not be compared is a judgement as well."""
    place = place_of(case, script.setups[0].dtype)
    if observation.build_unsupported is not None:
        reason = Reason.not_implemented
        return [place.judgement(Verdict.unsupported, reason, observation.build_unsupported)]
    if observation.build_error:
        judged = [place.if_it_refuses().judgement(Verdict.raised, Reason.build_failed, str(observation.build_error))]
    else:
        judged = [
            judgement
            for number, (result, of_step) in enumerate(zip(observation.steps, expected, strict=False))
            for judgement in _judge_step(replace(place, step=number, op=result.op), script, result, of_step)
        ]
    return [_as_policy_allows(judgement) for judgement in judged]


def _as_policy_allows(judgement: Judgement) -> Judgement:
    """What would be a fault under law is behaviour to note under policy."""
    if judgement.kind is Kind.policy and judgement.verdict in (Verdict.differ, Verdict.raised):
        return replace(judgement, verdict=Verdict.noted)
    return judgement


def _judge_step(place: Place, script: Script, result: StepResult, expected: Expected) -> list[Judgement]:
    if result.unsupported is not None:
        return [place.judgement(Verdict.unsupported, Reason.not_implemented, result.unsupported)]
    if expected.raises:
        if result.error:
            return [place.judgement(Verdict.agree, Reason.refused_as_declared, str(result.error))]
        message = "one value per channel: an error is declared, a result came"
        return [place.judgement(Verdict.differ, Reason.not_refused, message)]
    if expected.undeclared:
        place = replace(place, kind=Kind.policy)
    judged = [
        replace(place, kind=Kind.law).judgement(
            Verdict.raised if result.error else Verdict.differ,
            Reason.input_modified,
            f"the input {name} was modified" + (f": {result.error}" if result.error else ""),
        )
        for name in result.mutated
    ]
    if result.error:
        return judged or [place.if_it_refuses().judgement(Verdict.raised, Reason.step_failed, str(result.error))]
    if result.malformed:
        reason = Reason(result.malformed.error.value)
        judged.append(place.judgement(Verdict.differ, reason, result.malformed.message))
    for observable in expected.values:
        if observable in result.values:
            judged += _compare(place, script, observable, result.values[observable], expected)
        else:
            message = f"{result.op} gave no {observable}"
            judged.append(place.judgement(Verdict.unsupported, Reason.not_given, message, observable))
    return judged


def _compare(place: Place, script: Script, observable: str, got: np.ndarray, expected: Expected) -> list[Judgement]:
    """The law channels of an observable as one judgement, the policy channels as another."""
    want = expected.values[observable]
    assert place.step is not None
    x = script.steps[place.step].x
    wrong_form = _wrong_form(observable, got, want, None if x is None else x.dtype)
    if wrong_form:
        return [place.judgement(Verdict.differ, *wrong_form, observable)]
    standard = _standard_of(place, x, observable, expected)
    return [
        _measured(
            replace(place, kind=kind).judgement(Verdict.agree, Reason.within_bound, observable=observable),
            got,
            mask,
            standard,
        )
        for kind, mask in standard.masks.items()
    ]


@dataclass(frozen=True)
class Standard:
    """What any target is held to in one observable of one step. All arrays have want's shape."""

    want: np.ndarray
    bound: np.ndarray
    finite: np.ndarray
    """Where both are finite."""
    proves: np.ndarray
    """Where the bound is narrow enough to prove something."""
    masks: dict[Kind, np.ndarray]
    """Which elements are compared as law, and which as policy; without a kind of which there are none."""


_STANDARDS: WeakKeyDictionary[Expected, dict[str, Standard]] = WeakKeyDictionary()


def _standard_of(place: Place, x: np.ndarray | None, observable: str, expected: Expected) -> Standard:
    """Made once for what is expected of a step, since many targets are held to it."""
    of_step = _STANDARDS.setdefault(expected, {})
    if observable not in of_step:
        want = expected.values[observable]
        bound = expected.bounds.get(observable, np.zeros(want.shape))
        channels = _channels_of_each_kind(place, x, observable, want)
        u = OBSERVABLES[observable].unit_roundoff(precision_of(place.dtype))
        with np.errstate(all="ignore"):
            of_step[observable] = Standard(
                want,
                bound,
                finite=np.isfinite(want.astype(np.float64)) & np.isfinite(bound),
                proves=conclusive(bound, want, u),
                masks={kind: _per_element(mask, want) for kind, mask in channels.items() if mask.any()},
            )
    return of_step[observable]


def _channels_of_each_kind(
    place: Place, x: np.ndarray | None, observable: str, want: np.ndarray
) -> dict[Kind, np.ndarray]:
    """(C,) masks. One value per channel leaves an unbiased moving variance 0/0: whatever comes of it is policy."""
    count = want.shape[1] if want.ndim > 1 else want.shape[0]
    policy = np.array([place.case.is_policy(channel, place.dtype) for channel in range(count)])
    single = x is not None and x.size == x.shape[1] and (place.op or "").startswith("train")
    if single and observable == "moving_var" and not np.isfinite(want.astype(np.float64)).all():
        policy = np.ones(count, bool)
    if place.kind is Kind.policy:
        policy[:] = True
    return {Kind.law: ~policy, Kind.policy: policy}


def _per_element(channel_mask: np.ndarray, want: np.ndarray) -> np.ndarray:
    """(C,) -> want's shape."""
    shape = (1, -1, *[1] * (want.ndim - 2)) if want.ndim > 1 else (-1,)
    return np.broadcast_to(channel_mask.reshape(shape), want.shape)


def _wrong_form(
    observable: str, got: np.ndarray, want: np.ndarray, dtype: np.dtype | None
) -> tuple[Reason, str] | None:
    if got.shape != want.shape:
        return Reason.wrong_shape, f"expected shape {want.shape} (channels on axis 1), got {got.shape}"
    if OBSERVABLES[observable].like_x and dtype is not None and got.dtype != dtype:
        return Reason.wrong_dtype, f"expected dtype {dtype.name}, got {got.dtype.name}"
    if got.dtype.kind not in "fV" and got.dtype != numpy_dtype("bfloat16"):
        return Reason.wrong_dtype, f"expected a floating-point array, got {got.dtype.name}"
    return None


def conclusive(bound: np.ndarray, want: np.ndarray, u: float) -> np.ndarray:
    """Where a comparison proves something: bound <= max(1e-2, 8 u) times the RMS of the channel's values.

    bound, want: (C,) or x's shape; u: the unit roundoff of the dtype. Returns booleans of the same shape.
    """
    values = np.abs(want.astype(np.float64))
    axes = (0, *range(2, want.ndim)) if want.ndim > 1 else ()
    peak = values.max(axis=axes, keepdims=True, initial=0.0)
    safe = np.where(peak > 0, peak, 1.0)
    rms = safe * np.sqrt(((values / safe) ** 2).mean(axis=axes, keepdims=True)) if values.size else safe
    return bound <= max(PROVES_SOMETHING, ROUNDOFFS_THAT_PROVE * u) * np.where(peak > 0, rms, 0.0)


def _measured(judgement: Judgement, got: np.ndarray, mask: np.ndarray, standard: Standard) -> Judgement:
    """The judgement with its greatest error/bound and the verdict that follows."""
    if not mask.size:
        return replace(judgement, reason=Reason.nothing_to_compare)
    error, ratio, broken = _errors(got, mask, standard)
    # Within a wide bound there is nothing to conclude; beyond a proved bound there is, however wide it is.
    counted = broken | (mask & standard.finite & (standard.proves | (ratio > 1)))
    proves = bool(counted.any())
    considered = counted if proves else mask
    all_counted = bool(counted.all())  # as a rule
    place = np.unravel_index(int(np.argmax(ratio if all_counted else np.where(considered, ratio, -1.0))), mask.shape)
    judgement = replace(
        judgement,
        index=tuple(int(i) for i in place),
        error=float(error[place]),
        bound=float(standard.bound[place]),
        ratio=float(ratio[place]),
        got=float(got[place]),
        want=float(standard.want[place]),
        inconclusive_channels=0 if all_counted else _whole_channels(mask & ~counted),
        beyond=int((considered & (ratio > 1)).sum()) if ratio[place] > 1 else 0,
        elements=mask.size if all_counted else int(considered.sum()),
        largest_error=float((error if all_counted else np.where(considered, error, 0.0)).max()),
    )
    if not proves:
        return replace(judgement, verdict=Verdict.inconclusive, reason=Reason.bound_too_wide)
    assert judgement.ratio is not None
    if judgement.ratio <= 1:
        return judgement
    if broken.any():
        message = "not finite where a finite number is expected"
        return replace(judgement, verdict=Verdict.differ, reason=Reason.not_finite, message=message)
    return replace(judgement, verdict=Verdict.differ, reason=Reason.beyond_bound)


def _errors(got: np.ndarray, mask: np.ndarray, standard: Standard) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(|got - want|, error/bound, where a finite number is expected and none came), each of want's shape."""
    want = standard.want
    with np.errstate(all="ignore"):  # also for a signalling NaN, whose conversion is an invalid operation
        wide = got.astype(want.dtype)
        plain = wide if want.dtype == np.float64 else got.astype(np.float64)
        same = (wide == want) | (np.isnan(wide) & np.isnan(want))
        error = np.where(same, 0.0, np.abs(wide - want).astype(np.float64))
        ratio = np.where(error == 0, 0.0, error / standard.bound)
        broken = mask & standard.finite & ~np.isfinite(plain)
    return error, np.where(broken | np.isnan(ratio), np.inf, ratio), broken


def _whole_channels(mask: np.ndarray) -> int:
    """In how many channels every element is masked."""
    axes = (0, *range(2, mask.ndim)) if mask.ndim > 1 else ()
    return int(mask.all(axis=axes).sum())
