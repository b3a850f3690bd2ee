"""Lockstep: a table of pairs, a ladder of tensors at the last step, and how distances grew."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from harness.record.kinds import LockstepRecord
from reports.geometry import STYLES, Frame, Point, Tick, apart, decades

LABELLED = (1, 4, 16, 64, 235, 705)
"""Steps that keep apart on a logarithmic axis."""
LABEL_HEIGHT = 14.0


@dataclass(frozen=True)
class LockstepRow:
    """A pair in one dtype: its furthest tensor at the last step compared."""

    record: LockstepRecord
    within: bool
    """Whether every tensor was within what is allowed at every step compared."""


@dataclass(frozen=True)
class Mark:
    """A pair's distance in one tensor."""

    x: float
    style: int
    out: bool
    """Whether it is beyond what is allowed."""
    record: LockstepRecord


@dataclass(frozen=True)
class Rung:
    """A tensor of the ladder: from what relabelling does to what is allowed, and a mark a pair."""

    tensor: str
    y: float
    ulp: float
    allowed: float
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class Ladder:
    """Every tensor at the last step, on a logarithmic axis."""

    frame: Frame
    rungs: tuple[Rung, ...]
    ticks: tuple[Tick, ...]
    pairs: tuple[str, ...]


@dataclass(frozen=True)
class Label:
    y: float
    text: str
    style: int | None
    """That of the line; None for what is no pair."""


@dataclass(frozen=True)
class Growth:
    """The furthest tensor of each pair by step, and what relabelling does; both axes logarithmic."""

    dtype: str
    frame: Frame
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    pairs: tuple[str, ...]
    lines: tuple[tuple[Point, ...], ...]
    ulp: tuple[Point, ...]
    allowed: tuple[Point, ...]
    labels: tuple[Label, ...]
    """At the right end of each line, kept apart."""


def lockstep_rows(records: Sequence[LockstepRecord]) -> list[LockstepRow]:
    """A row a pair and dtype."""
    by_pair: dict[tuple[str, str, str], list[LockstepRecord]] = {}
    for record in records:
        by_pair.setdefault((record.a, record.b, record.dtype), []).append(record)
    rows = []
    for of_pair in by_pair.values():
        last = [record for record in of_pair if record.last]
        if last:
            furthest = max(last, key=lambda record: record.share)
            rows.append(LockstepRow(furthest, all(record.is_within for record in of_pair)))
    return rows


def name_of(record: LockstepRecord) -> str:
    return f"{record.a} / {record.b}"


def ladder(records: Sequence[LockstepRecord]) -> Ladder | None:
    """Of the records of the last step, in the first dtype."""
    records = [record for record in records if record.last and record.dtype == records[0].dtype]
    if not records:
        return None
    pairs = list(dict.fromkeys(map(name_of, records)))
    by_tensor: dict[str, list[LockstepRecord]] = {}
    for record in records:
        by_tensor.setdefault(record.tensor, []).append(record)
    values = [value for record in records for value in (record.distance, record.self_distance, record.limit)]
    low, high = decades(values, (-1, 0))
    pitch, top = 17, 24
    height = top + pitch * len(by_tensor) + 8
    frame = Frame(width=786, height=height, left=176, right=762, top=top, base=height - 8)

    def across(value: float) -> float:
        """Zero sits at the left edge; what is not finite beyond the right one."""
        if not math.isfinite(value):
            return (frame.width + frame.right) / 2
        return frame.across(0.0 if value <= 0 else (math.log10(value) - low) / (high - low))

    rungs = []
    for number, (tensor, of_tensor) in enumerate(by_tensor.items()):
        marks = (
            Mark(across(record.distance), pairs.index(name_of(record)) % STYLES, not record.is_within, record)
            for record in of_tensor
        )
        y = top + pitch * number + pitch / 2
        reach = of_tensor[-1]
        rungs.append(Rung(tensor, y, across(reach.self_distance), across(reach.limit), tuple(marks)))
    every = 1 if high - low <= 10 else 2
    ticks = tuple((across(10.0**power), power) for power in range(low, high + 1, every))
    return Ladder(frame, tuple(rungs), ticks, tuple(pairs))


def growth(records: Sequence[LockstepRecord]) -> list[Growth]:
    """A picture a dtype; none where one step alone was compared."""
    made = []
    for dtype in dict.fromkeys(record.dtype for record in records):
        of_dtype = [record for record in records if record.dtype == dtype]
        if len({record.steps for record in of_dtype}) > 1:
            made.append(_growth(dtype, of_dtype))
    return made


def _growth(dtype: str, records: Sequence[LockstepRecord]) -> Growth:
    steps = sorted({record.steps for record in records})
    pairs = list(dict.fromkeys(map(name_of, records)))
    lines = [
        [_furthest(record.distance for record in records if record.steps == step and name_of(record) == pair)
         for step in steps]
        for pair in pairs
    ]  # fmt: skip
    ulp = [_furthest(record.self_distance for record in records if record.steps == step) for step in steps]
    allowed = [_furthest(record.limit for record in records if record.steps == step) for step in steps]
    low, high = decades([value for values in [*lines, ulp, allowed] for value in values], (-16, 0))
    frame = Frame(width=860, height=280, left=60, right=690, top=14, base=246)

    def across(step: int) -> float:
        return frame.across(math.log(step / steps[0]) / math.log(steps[-1] / steps[0]))

    def up(value: float) -> float:
        """Zero sits at the lower edge; what is not finite at the upper one."""
        share = (math.log10(value) - low) / (high - low) if 0 < value < math.inf else float(value != 0)
        return frame.up(min(1.0, max(0.0, share)))

    def line(values: Sequence[float]) -> tuple[Point, ...]:
        return tuple((across(step), up(value)) for step, value in zip(steps, values, strict=True))

    labels = [
        Label(up(values[-1]), pair, pairs.index(pair) % STYLES) for pair, values in zip(pairs, lines, strict=True)
    ]
    labels += [Label(up(ulp[-1]), "itself, relabelled", None), Label(up(allowed[-1]), "allowed", None)]
    labels.sort(key=lambda label: label.y)
    heights = apart([label.y for label in labels], LABEL_HEIGHT)
    return Growth(
        dtype=dtype,
        frame=frame,
        x_ticks=tuple((across(step), step) for step in steps if step in LABELLED or step == steps[-1]),
        y_ticks=tuple((up(10.0**power), power) for power in range(low, high + 1, max(1, (high - low) // 6))),
        pairs=tuple(pairs),
        lines=tuple(map(line, lines)),
        ulp=line(ulp),
        allowed=line(allowed),
        labels=tuple(replace(label, y=y) for label, y in zip(labels, heights, strict=True)),
    )


def _furthest(distances: Iterable[float]) -> float:
    return max((math.inf if math.isnan(distance) else distance for distance in distances), default=0.0)
