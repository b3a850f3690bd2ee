"""Accuracy over seeds: its table, its bands, and the tests of equivalence."""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.record.kinds import AccuracyRecord, EquivalenceRecord
from harness.record.read import Records
from reports.geometry import Frame, Point, Tick, linear_ticks, with_labels


@dataclass(frozen=True)
class Band:
    """Test accuracy by epoch: from the lowest seed to the highest, and the mean."""

    name: str
    frame: Frame
    area: tuple[Point, ...]
    mean: tuple[Point, ...]
    published: float
    published_text: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


@dataclass(frozen=True)
class OverSeeds:
    rows: tuple[AccuracyRecord, ...]
    measures: tuple[str, ...]
    equivalence: tuple[EquivalenceRecord, ...]
    bands: tuple[Band, ...]


def over_seeds(records: Records) -> OverSeeds:
    return OverSeeds(
        rows=records.accuracy,
        measures=tuple(dict.fromkeys(name for record in records.accuracy for name in record.measures)),
        equivalence=records.equivalence,
        bands=tuple(_band(record) for record in records.accuracy if len(record.band) > 1),
    )


def _band(record: AccuracyRecord) -> Band:
    frame = Frame(width=320, height=190, left=40, right=306, top=12, base=156)
    published = record.published.value
    values = [value for row in record.band for value in (row.low, row.high) if math.isfinite(value)]
    ticks = linear_ticks([*values, published, 1.0])
    last = record.band[-1].epoch

    def across(epoch: int) -> float:
        return frame.across((epoch - 1) / (last - 1))

    def up(value: float) -> float:
        """What is not finite sits at the lower edge."""
        return frame.up((value - ticks[0]) / (ticks[-1] - ticks[0]) if math.isfinite(value) else 0.0)

    highest = [(across(row.epoch), up(row.high)) for row in record.band]
    lowest = [(across(row.epoch), up(row.low)) for row in record.band]
    return Band(
        name=record.implementation,
        frame=frame,
        area=(*highest, *reversed(lowest)),
        mean=tuple((across(row.epoch), up(row.mean)) for row in record.band),
        published=up(published),
        published_text=f"{published:g}",
        x_ticks=tuple((across(epoch), epoch) for epoch in range(1, last + 1) if epoch == 1 or epoch % 2 == 0),
        y_ticks=with_labels(ticks, up),
    )
