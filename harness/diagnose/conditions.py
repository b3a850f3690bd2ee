"""Conditions under which alone a mistake may be made: a branch of the code that is taken for some inputs or steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from harness.cases.case import Step
from harness.diagnose.mistakes.in_mode import only_when
from harness.judge.oracle import OracleLayer
from harness.judge.report import PlayedCase

CONTIGUOUS = {"plain", "read_only", "offset"}
"""The layouts without a stride of their own."""


@dataclass(frozen=True)
class Condition:
    """A condition on a whole case, in words that follow a comma: "at rank 4 only"."""

    text: str
    holds: Callable[[PlayedCase], bool]
    by_many_numbers: bool = False
    """Whether it lists so many numbers that it says which cases there are rather than where the mistake is."""


def case_conditions(failing: Sequence[PlayedCase], played: Sequence[PlayedCase]) -> Iterator[Condition]:
    """The conditions that every failing case meets and some other case does not, the plainest first."""
    for condition in _candidates(failing, played):
        if all(map(condition.holds, failing)) and not all(map(condition.holds, played)):
            yield condition


def both(a: Condition, b: Condition) -> Condition:
    text = f"{a.text.removesuffix(' only')} and {b.text}"
    return Condition(text, lambda case: a.holds(case) and b.holds(case))


def _candidates(failing: Sequence[PlayedCase], played: Sequence[PlayedCase]) -> Iterator[Condition]:
    yield _among(_dtype, failing, "in {} only")
    yield _among(_rank, failing, "at rank {} only")
    layouts = {_layout(case) for case in failing}
    if "plain" not in layouts:
        if len(layouts) > 1:
            yield Condition("where x is not contiguous", lambda case: _layout(case) not in CONTIGUOUS)
        yield _among(_layout, failing, "where the layout in memory is {}")
    yield Condition("with a single channel", lambda case: case.case.shape[1] == 1)
    yield Condition("where the batch holds one sample", lambda case: case.case.shape[0] == 1)
    yield Condition("where n is odd", lambda case: _n(case) % 2 == 1)
    yield Condition("where n is even", lambda case: _n(case) % 2 == 0)
    yield _among(_eps, failing, "where eps is {}")
    yield _among(_new_weight, failing, "where the new batch weighs {}")
    yield from _thresholds(_n, "n", failing, played)
    yield from _thresholds(_channels, "the number of channels", failing, played)


def _among(value_of: Callable[[PlayedCase], Any], failing: Sequence[PlayedCase], text: str) -> Condition:
    values = sorted({value_of(case) for case in failing}, key=str)
    by_many_numbers = value_of in (_eps, _new_weight) and len(values) > 2
    return Condition(text.format(" or ".join(map(str, values))), lambda case: value_of(case) in values, by_many_numbers)


def _thresholds(
    value_of: Callable[[PlayedCase], int], name: str, failing: Sequence[PlayedCase], played: Sequence[PlayedCase]
) -> Iterator[Condition]:
    """Above the largest value that is less than any failing one; below the smallest that is more than any."""
    low, high = min(map(value_of, failing)), max(map(value_of, failing))
    below = max((value_of(case) for case in played if value_of(case) < low), default=None)
    above = min((value_of(case) for case in played if value_of(case) > high), default=None)
    if below is not None:
        yield Condition(f"where {name} is more than {below:,}", lambda case: value_of(case) >= low)
    if above is not None:
        yield Condition(f"where {name} is less than {above:,}", lambda case: value_of(case) <= high)


def _dtype(case: PlayedCase) -> str:
    return case.dtype


def _rank(case: PlayedCase) -> int:
    return case.case.ndim


def _layout(case: PlayedCase) -> str:
    return case.case.layout


def _eps(case: PlayedCase) -> float:
    return case.case.eps


def _new_weight(case: PlayedCase) -> float:
    return case.case.new_weight


def _n(case: PlayedCase) -> int:
    return case.case.values_per_channel


def _channels(case: PlayedCase) -> int:
    return case.case.shape[1]


# --- conditions on a step ---


@dataclass(frozen=True)
class StepCondition:
    """A condition on the steps of a layer. `holds` takes the layer, which counts its steps (see `_Counting`)."""

    text: str
    holds: Callable[[Any], bool]


def step_conditions(failing: Sequence[PlayedCase]) -> Iterator[StepCondition]:
    """Those that could hold first where each failing case goes wrong first: until then it was right."""
    counted = [counts for counts in map(counts_at_first_wrong_step, failing) if counts]
    if not counted:
        return
    if all(counts.op == "eval" for counts in counted):
        yield StepCondition("in prediction only", lambda layer: layer.op == "eval")
    if all(counts.op in ("train", "train_no_grad") for counts in counted):
        yield StepCondition("in training only", lambda layer: layer.op in ("train", "train_no_grad"))
    if all(counts.op == "train_no_grad" for counts in counted):
        yield StepCondition("in training with gradients off only", lambda layer: layer.op == "train_no_grad")
    if all(counts.restored for counts in counted):
        yield StepCondition("after restoring only", lambda layer: layer.restored)
    if all(counts.calls == 1 for counts in counted):
        yield StepCondition("in a layer's first step only", lambda layer: layer.calls == 1)
    trained = min(counts.trained for counts in counted)
    if trained > 1:
        yield StepCondition(f"from training step {trained} on", lambda layer: layer.trained >= trained)
    trained_ever = min(counts.trained_ever for counts in counted)
    if trained_ever > 1:
        text = f"from training step {trained_ever} on, those before restoring included"
        yield StepCondition(text, lambda layer: layer.trained_ever >= trained_ever)
    calls = min(counts.calls for counts in counted)
    if calls > 1:
        yield StepCondition(f"from step {calls} on", lambda layer: layer.calls >= calls)


class Counts:
    """What a layer has been asked so far: mixed into a layer, or on its own. Restoring makes a new object."""

    op = ""
    calls = 0
    trained = 0
    trained_ever = 0
    restored = False

    def count(self, step: Step) -> None:
        self.op = step.op
        if step.restores:
            self.restored = True
            self.calls = self.trained = int(step.op == "restore_used")
            return
        self.calls += 1
        self.trained += step.op.startswith("train")
        self.trained_ever += step.op.startswith("train")


def counts_at_first_wrong_step(played: PlayedCase) -> Counts | None:
    """What the layer that goes wrong first had been asked by then."""
    first = first_wrong_step(played)
    if first is None:
        return None
    counts, session = Counts(), played.script.steps[first].session
    for step in played.script.steps[: first + 1]:
        if step.session == session:
            counts.count(step)
    return counts


def first_wrong_step(played: PlayedCase) -> int | None:
    """The first step in which something counts against the target."""
    steps = [judgement.step for judgement in played.judgements if judgement.counts_against]
    return min((step for step in steps if step is not None), default=None)


def only_under(condition: StepCondition, mistake: type[OracleLayer]) -> type[OracleLayer]:
    """A layer that makes the mistake in the steps in which the condition holds, and is right in the others."""
    in_some_steps: Any = only_when(condition.holds, mistake, "InSomeSteps")

    class Conditional(Counts, in_some_steps):
        def play(self, step: Step) -> Any:
            self.count(step)
            self.playing = "eval" if step.op == "eval" else "train"
            return super().play(step)

    return Conditional
