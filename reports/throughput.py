"""How fast trainings are: a table a clock, and its bars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.record.kinds import Spread, TrainingThroughput, distance_range
from harness.record.read import Records
from reports.geometry import Frame, Tick

TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
PITCH = 26
"""From one bar to the next."""


@dataclass(frozen=True)
class Bar:
    """A contestant: from the baseline to its median, with its quartiles; all in the units of the picture."""

    name: str
    y: float
    median: float
    low: float
    high: float
    aim: float | None
    text: str


@dataclass(frozen=True)
class Bars:
    """The ratios to the baseline on a logarithmic axis: equal factors are equally long."""

    frame: Frame
    ticks: tuple[Tick, ...]
    one: float
    """Where the baseline is."""
    control: tuple[float, float]
    """The band in which the baseline is from itself."""
    limit: float | None
    """Where arithmetic at the rate of a large matrix product would be."""
    limit_text: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class ThroughputTable:
    """The contestants of one clock; they ran in the same rounds, against the same baseline."""

    clock: str
    against: str
    control: Spread
    rounds: int
    matmul_flops: float
    core_distance: tuple[float, float] | None
    """The outermost quartiles, in ns; None where it was not measured."""
    rows: tuple[TrainingThroughput, ...]
    bars: Bars


def throughput_tables(records: Records) -> list[ThroughputTable]:
    by_clock: dict[str, list[TrainingThroughput]] = {}
    for record in records.throughput:
        by_clock.setdefault(record.clock, []).append(record)
    return [
        ThroughputTable(
            clock=clock.replace("_", " "),
            against=rows[0].against,
            control=rows[0].control,
            rounds=rows[0].rounds,
            matmul_flops=rows[0].matmul_flops,
            core_distance=distance_range(row.core_distance_ns for row in rows),
            rows=tuple(rows),
            bars=bars_of(rows),
        )
        for clock, rows in by_clock.items()
    ]


def limit_ratio(rows: Sequence[TrainingThroughput]) -> float | None:
    """How many times the baseline the rate of a large matrix product is: the median of what each contestant says."""
    ratios = sorted(row.ratio.median / row.limit_share for row in rows if row.limit_share > 0)
    ratios = [ratio for ratio in ratios if math.isfinite(ratio)]
    return ratios[len(ratios) // 2] if ratios else None


def bars_of(rows: Sequence[TrainingThroughput]) -> Bars:
    limit = limit_ratio(rows)
    spreads = [rows[0].control, *(row.ratio for row in rows)]
    values = [value for spread in spreads for value in (spread.low, spread.median, spread.high)]
    values = [value for value in [*values, limit or 1.0, 1.0] if 0 < value < math.inf]
    low, high = min(values) / 1.15, max(values) * 1.15
    height = 40 + PITCH * len(rows) + 8
    frame = Frame(width=860, height=height, left=176, right=836, top=40, base=height - 8)

    def across(ratio: float) -> float:
        """What is not finite, or not positive, sits at the edge."""
        if not 0 < ratio < math.inf:
            return float(frame.right if ratio > 0 else frame.left)
        return frame.across(math.log(ratio / low) / math.log(high / low))

    bars = tuple(
        Bar(
            name=row.name,
            y=frame.top + PITCH * (number + 0.5),
            median=across(row.ratio.median),
            low=across(row.ratio.low),
            high=across(row.ratio.high),
            aim=None if row.aim is None else across(row.aim),
            text=f"{row.ratio.median:.2f}",
        )
        for number, row in enumerate(rows)
    )
    return Bars(
        frame=frame,
        ticks=tuple((across(tick), f"{tick:g}") for tick in TICKS if low <= tick <= high),
        one=across(1.0),
        control=(across(rows[0].control.low), across(rows[0].control.high)),
        limit=None if limit is None else across(limit),
        limit_text="" if limit is None else f"{limit:.0f}",
        bars=bars,
    )
