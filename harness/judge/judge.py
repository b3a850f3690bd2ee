"""An Observation against the oracle: one Judgement for each observable of each step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

import numpy as np

from harness.cases.case import Case, Script, Step, numpy_dtype
from harness.judge.answers import LatestAnswers, answer
from harness.judge.compared import Compared, InARow, Standard, compare
from harness.judge.expected import Expected
from harness.judge.judgement import Judgement, Kind, Reason, Verdict
from harness.observables import OBSERVABLES
from harness.targets.player import Observation, StepResult
from reference.error_bounds import precision_of

PROVES_SOMETHING = 1e-2
"""A bound above this share of a channel's RMS proves nothing, unless 8 unit roundoffs of the dtype are more."""

ROUNDOFFS_THAT_PROVE = 8

SMALL = 4096
"""Elements of an array that is compared with others in one go: of a larger one each operation takes its own time."""

KEPT_ROWS = 3
"""How many sets of observables of a step are kept as one row: as a rule a target gives all of them."""


@dataclass(frozen=True)
class CasePlace:
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

    def if_it_refuses(self) -> CasePlace:
        """The same for an exception, which is no fault where the case asks for something unusual."""
        return replace(self, kind=Kind.policy) if self.case.may_refuse else self


def place_of(case: Case, dtype: str) -> CasePlace:
    return CasePlace(case, dtype, Kind.policy if case.policy == "all" else Kind.law)


@np.errstate(all="ignore")  # also for a signalling NaN, whose conversion is an invalid operation
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
            for judgement in _judge_step(
                CasePlace(place.case, place.dtype, place.kind, number, result.op), script, result, of_step
            )
        ]
    return [_as_policy_allows(judgement) for judgement in judged]


def _as_policy_allows(judgement: Judgement) -> Judgement:
    """What would be a fault under law is behaviour to note under policy."""
    if judgement.kind is Kind.policy and judgement.verdict in (Verdict.differ, Verdict.raised):
        return replace(judgement, verdict=Verdict.noted)
    return judgement


def _judge_step(place: CasePlace, script: Script, result: StepResult, expected: Expected) -> list[Judgement]:
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
    if result.replicas_disagree:
        judged.append(place.judgement(Verdict.differ, Reason.replicas_disagree, result.replicas_disagree))
    assert place.step is not None
    judged += _compare(place, script.steps[place.step], result, expected)
    for observable in expected.absent:
        message = f"the layer is built without what {observable} belongs to"
        judged.append(place.judgement(Verdict.unsupported, Reason.built_without, message, observable))
    return judged


def _compare(place: CasePlace, step: Step, result: StepResult, expected: Expected) -> Iterator[Judgement]:
    """Of each observable the law channels as one judgement, the policy channels as another."""
    standards, dtype = _standards_of(place, step, expected), None if step.x is None else step.x.dtype
    given = {name: result.values[name] for name in expected.values if name in result.values}
    wrong_form = {name: _wrong_form(name, got, expected.values[name], dtype) for name, got in given.items()}
    where = (place.dtype, place.step, place.op, place.kind)
    answers = {name: answer(place.case, where, got) for name, got in given.items() if not wrong_form[name]}
    judged = {name: standards.latest.judged(name, of_name) for name, of_name in answers.items()}
    compared = standards.compared({name: given[name] for name in judged if judged[name] is None})
    for name in expected.values:
        if name not in given:
            message = f"{result.op} gave no {name}"
            yield place.judgement(Verdict.unsupported, Reason.not_given, message, name)
        elif wrong := wrong_form[name]:
            yield place.judgement(Verdict.differ, *wrong, name)
        else:
            before = judged[name]
            if before is None:
                before = _judged(place, name, given[name], standards.of[name], compared.get(name))
                standards.latest.keep(name, answers[name], before)
            yield from before


def _judged(
    place: CasePlace, name: str, got: np.ndarray, standard: Standard, at_once: Compared | None
) -> tuple[Judgement, ...]:
    """One judgement for each kind."""
    places = {kind: place if kind is place.kind else replace(place, kind=kind) for kind in standard.masks}
    return tuple(_measured(places[kind], name, got, mask, standard, at_once) for kind, mask in standard.masks.items())


class StepStandards:
    """What any target is held to in one step. All arrays that it gives are compared with these."""

    def __init__(self, place: CasePlace, step: Step, expected: Expected) -> None:
        self.of = {observable: _standard_of(place, step, observable, expected) for observable in expected.values}
        self._in_a_row: dict[tuple[str, ...], InARow] = {}
        self.latest = LatestAnswers()

    def compared(self, given: dict[str, np.ndarray]) -> dict[str, Compared | None]:
        """Arrays of the right form: of those that are plain what came of it; None where some are not finite."""
        plain = [name for name in given if self.of[name].is_plain]
        small = tuple(name for name in plain if self.of[name].want.size <= SMALL)
        rows = [small, *((name,) for name in plain if name not in small)] if small else [(name,) for name in plain]
        return {
            name: compared
            for names in rows
            for name, compared in zip(names, self._row_of(names).compare([given[name] for name in names]), strict=True)
        }

    def _row_of(self, names: tuple[str, ...]) -> InARow:
        """Kept, unless it is large, or several are."""
        if names in self._in_a_row:
            return self._in_a_row[names]
        row = InARow([self.of[name] for name in names])
        if row.want.size <= SMALL * len(names) and len(self._in_a_row) < KEPT_ROWS:
            self._in_a_row[names] = row
        return row


_STANDARDS: WeakKeyDictionary[Expected, StepStandards] = WeakKeyDictionary()
"""Made once for what is expected of a step, since many targets are held to it."""


def _standards_of(place: CasePlace, step: Step, expected: Expected) -> StepStandards:
    standards = _STANDARDS.get(expected)
    if standards is None:
        standards = _STANDARDS[expected] = StepStandards(place, step, expected)
    return standards


def _standard_of(place: CasePlace, step: Step, observable: str, expected: Expected) -> Standard:
    want = expected.values[observable]
    bound = expected.bounds.get(observable, np.zeros(want.shape))
    single_value = step.x is not None and step.values_per_channel == 1
    channels = _channels_of_each_kind(place, single_value, observable, want)
    u = OBSERVABLES[observable].unit_roundoff(precision_of(place.dtype))
    finite = np.isfinite(want.astype(np.float64)) & np.isfinite(bound)
    proves = conclusive(bound, want, u)
    masks = {kind: _per_element(mask, want) for kind, mask in channels.items() if mask.any()}
    is_plain = bool(want.size) and len(masks) == 1 and bool((finite & proves & (bound > 0)).all())
    return Standard(want, bound, finite, proves, masks, is_plain)


def _channels_of_each_kind(
    place: CasePlace, single_value: bool, observable: str, want: np.ndarray
) -> dict[Kind, np.ndarray]:
    """(C,) masks. One value per channel leaves an unbiased moving variance 0/0: whatever comes of it is policy."""
    count = want.shape[1] if want.ndim > 1 else want.shape[0]
    policy = np.array([place.case.is_policy(channel, place.dtype) for channel in range(count)])
    single = single_value and (place.op or "").startswith("train")
    if single and observable == "moving_var" and not np.isfinite(want.astype(np.float64)).all():
        policy = np.ones(count, bool)
    if place.kind is Kind.policy:
        policy[:] = True
    return {Kind.law: ~policy, Kind.policy: policy}


def _per_element(channel_mask: np.ndarray, want: np.ndarray) -> np.ndarray:
    """(C,) -> want's shape."""
    if channel_mask.all():
        return np.ones(want.shape, bool)
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
    return bound <= widest_conclusive(want, u)


def widest_conclusive(want: np.ndarray, u: float) -> np.ndarray:
    """The largest bound that proves something, float64, one a channel: it broadcasts against `want`."""
    share = max(PROVES_SOMETHING, ROUNDOFFS_THAT_PROVE * u)
    values = np.abs(want.astype(np.float64))
    if want.ndim == 1 and np.maximum.reduce(values, initial=0.0) < np.inf:  # one value a channel is its own RMS
        of_each: np.ndarray = share * values
        return of_each
    axes = (0, *range(2, want.ndim)) if want.ndim > 1 else ()
    peak = values.max(axis=axes, keepdims=True, initial=0.0)
    safe = np.where(peak > 0, peak, 1.0)
    rms = safe * np.sqrt(((values / safe) ** 2).mean(axis=axes, keepdims=True)) if values.size else safe
    widest: np.ndarray = share * np.where(peak > 0, rms, 0.0)
    return widest


def _measured(
    place: CasePlace, observable: str, got: np.ndarray, mask: np.ndarray, standard: Standard, at_once: Compared | None
) -> Judgement:
    """The judgement with its greatest error/bound and the verdict that follows."""
    if not mask.size:
        return place.judgement(Verdict.agree, Reason.nothing_to_compare, observable=observable)
    compared = at_once or compare(got, mask, standard)
    ratio, considered, at = compared.ratio, compared.considered, compared.worst
    greatest = ratio.item(at)
    verdict, reason, message = Verdict.agree, Reason.within_bound, None
    if not compared.proves:
        verdict, reason = Verdict.inconclusive, Reason.bound_too_wide
    elif not greatest <= 1 and compared.breaks:
        verdict, reason = Verdict.differ, Reason.not_finite
        message = "not finite where a finite number is expected"
    elif not greatest <= 1:
        verdict, reason = Verdict.differ, Reason.beyond_bound
    return Judgement(
        place.case.id,
        place.dtype,
        place.step,
        place.op,
        observable,
        place.kind,
        verdict,
        reason,
        error=compared.error.item(at),
        bound=float(standard.bound.item(at)),
        ratio=greatest,
        index=index_of(at, mask.shape),
        got=float(got.item(at)),
        want=float(standard.want.item(at)),
        message=message,
        inconclusive_channels=compared.inconclusive_channels,
        beyond=int(((ratio > 1) if considered is None else (considered & (ratio > 1))).sum()) if greatest > 1 else 0,
        elements=mask.size if considered is None else int(considered.sum()),
        largest_error=compared.largest_error,
    )


def index_of(at: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Where the element is that comes at a place in C order: np.unravel_index is slower for one."""
    index: list[int] = []
    for length in reversed(shape):
        at, place = divmod(at, length)
        index.append(place)
    return tuple(reversed(index))
