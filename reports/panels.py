"""Trainings epoch by epoch, as the page draws them: a panel a measure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.record.kinds import PublishedFigures, TrainingResult
from reports.curves import MEASURES, implementations
from reports.geometry import STYLES, Frame, Point, Tick, epoch_ticks, finite_pieces, linear_ticks
from reports.training import LAST_EPOCH, RANGED


@dataclass(frozen=True)
class Series:
    """One training's line, in pieces where a value is not finite."""

    style: int
    lines: tuple[tuple[Point, ...], ...]


@dataclass(frozen=True)
class Range:
    """The range of a correct run, as an upright bar at its epoch."""

    x: float
    top: float
    base: float
    text: str


@dataclass(frozen=True)
class Panel:
    title: str
    frame: Frame
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    series: tuple[Series, ...]
    missing: int
    """How many values are not finite, and so not drawn."""
    range: Range | None
    published: Point
    published_text: str


def panels(runs: Sequence[TrainingResult], published: PublishedFigures) -> list[Panel]:
    """A panel each of loss, train accuracy and test accuracy. None without runs."""
    return [_panel(runs, published, measure, title) for measure, title in MEASURES] if runs else []


def _panel(runs: Sequence[TrainingResult], published: PublishedFigures, measure: str, title: str) -> Panel:
    frame = Frame(width=320, height=234, left=40, right=306, top=12, base=200)
    names = implementations(runs)
    longest = max([LAST_EPOCH, *(run.epochs for run in runs)])
    value_published: float = getattr(published, measure)
    limits: tuple[float, float] | None = getattr(published, f"{measure}_range") if measure in RANGED else None
    values = [getattr(epoch, measure) for run in runs for epoch in run.history]
    finite = [value for value in values if math.isfinite(value)]
    ticks = linear_ticks([*finite, value_published, *(limits or ())])
    decimals = max(len(f"{value:.6g}".partition(".")[2]) for value in ticks)

    def across(epoch: int) -> float:
        return frame.across((epoch - 1) / (longest - 1))

    def up(value: float) -> float:
        return frame.up((value - ticks[0]) / (ticks[-1] - ticks[0]))

    def series(run: TrainingResult) -> Series:
        pieces = finite_pieces([(epoch.epoch, getattr(epoch, measure)) for epoch in run.history])
        lines = tuple(tuple((across(epoch), up(value)) for epoch, value in piece) for piece in pieces)
        return Series(names.index(run.implementation) % STYLES, lines)

    return Panel(
        title=title,
        frame=frame,
        x_ticks=tuple((across(epoch), epoch) for epoch in epoch_ticks(longest)),
        y_ticks=tuple((up(value), f"{value:.{decimals}f}") for value in ticks),
        series=tuple(map(series, runs)),
        missing=len(values) - len(finite),
        range=limits
        and Range(across(LAST_EPOCH), up(limits[1]), up(limits[0]), f"{limits[0]} to {limits[1]}"),
        published=(across(LAST_EPOCH), up(value_published)),
        published_text=str(value_published),
    )  # fmt: skip
