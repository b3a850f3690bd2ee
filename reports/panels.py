"""Trainings epoch by epoch, as small multiples: a row an implementation, a panel a measure, on the same axes.

Implementations that agree would hide each other in one picture; here the others are faint behind each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from harness.record.kinds import PublishedFigures, TrainingResult
from reports.curves import MEASURES, implementations
from reports.geometry import STYLES, Frame, Point, Tick, epoch_ticks, finite_pieces, linear_ticks, with_labels
from reports.training import LAST_EPOCH, RANGED

MARKED = 2
"""Lines have a mark an epoch where there are no more of them than this."""

LABEL_WIDTH, LABEL_HEIGHT, LABEL_GAP = 92, 11, 9
"""Of a picture's text, and from it to what it names."""
MARK = 5
"""Half the width of a mark."""
BETWEEN = 8
"""Into how many pieces a line from one epoch to the next is cut to see what it runs through."""


@dataclass(frozen=True)
class Series:
    """One training's line, in pieces where a value is not finite."""

    style: int
    lines: tuple[tuple[Point, ...], ...]
    marked: bool = True


@dataclass(frozen=True)
class CorrectRange:
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
    behind: tuple[Series, ...]
    """The trainings of the other implementations."""
    missing: int
    """How many values are not finite, and so not drawn."""
    range: CorrectRange | None
    published: Point
    published_text: str
    published_label: Point
    """The right end of the text's base line, where no curve runs through it."""


@dataclass(frozen=True)
class PanelRow:
    implementation: str
    style: int
    seeds: int
    panels: tuple[Panel, ...]


def panels(runs: Sequence[TrainingResult], published: PublishedFigures) -> list[PanelRow]:
    """A row an implementation; a panel each of loss, train accuracy and test accuracy. None without runs."""
    return [
        PanelRow(
            name,
            number % STYLES,
            sum(run.implementation == name for run in runs),
            tuple(_panel(runs, name, published, measure, title) for measure, title in MEASURES),
        )
        for number, name in enumerate(implementations(runs))
    ]


def _panel(
    runs: Sequence[TrainingResult], name: str, published: PublishedFigures, measure: str, title: str
) -> Panel:  # fmt: skip
    frame = Frame(width=320, height=190, left=40, right=306, top=12, base=158)
    names = implementations(runs)
    longest = max([LAST_EPOCH, *(run.epochs for run in runs)])
    value_published: float = getattr(published, measure)
    limits: tuple[float, float] | None = getattr(published, f"{measure}_range") if measure in RANGED else None
    finite = [value for run in runs for value in measured(run, measure) if math.isfinite(value)]
    ticks = linear_ticks([*finite, value_published, *(limits or ())])
    own = [run for run in runs if run.implementation == name]

    def across(epoch: int) -> float:
        return frame.across((epoch - 1) / (longest - 1))

    def up(value: float) -> float:
        return frame.up((value - ticks[0]) / (ticks[-1] - ticks[0]))

    def series(run: TrainingResult) -> Series:
        pieces = finite_pieces([(epoch.epoch, getattr(epoch, measure)) for epoch in run.history])
        lines = tuple(tuple((across(epoch), up(value)) for epoch, value in piece) for piece in pieces)
        return Series(names.index(run.implementation) % STYLES, lines, len(own) <= MARKED)

    drawn = tuple(map(series, own))
    place = (across(LAST_EPOCH), up(value_published))
    return Panel(
        title=title,
        frame=frame,
        x_ticks=tuple((across(epoch), epoch) for epoch in epoch_ticks(longest)),
        y_ticks=with_labels(ticks, up),
        series=drawn,
        behind=tuple(series(run) for run in runs if run.implementation != name),
        missing=sum(not math.isfinite(value) for run in own for value in measured(run, measure)),
        range=limits
        and CorrectRange(across(LAST_EPOCH), up(limits[1]), up(limits[0]), f"{limits[0]} to {limits[1]}"),
        published=place,
        published_text=str(value_published),
        published_label=clear_of([line for each in drawn for line in each.lines], place, frame),
    )  # fmt: skip


def clear_of(lines: Sequence[Sequence[Point]], place: Point, frame: Frame) -> Point:
    """Where the label of `place` ends: to the left of it, as near to its height as no line runs through the text."""
    right = place[0] - LABEL_GAP
    beneath = [y for line in lines for y in heights(line, right - LABEL_WIDTH, right)]
    candidates = range(frame.top + LABEL_HEIGHT, frame.base - 3)
    free = [y for y in candidates if all(not y - LABEL_HEIGHT - 2 < other < y + 5 for other in beneath)]
    return right, min(free or candidates, key=lambda y: abs(y - LABEL_HEIGHT / 3 - place[1]))


def heights(line: Sequence[Point], left: float, right: float) -> list[float]:
    """The line's y at its own points and between them, from `left` to `right`."""
    between = (
        (x0 + (x1 - x0) * part / BETWEEN, y0 + (y1 - y0) * part / BETWEEN)
        for (x0, y0), (x1, y1) in pairwise(line)
        for part in range(BETWEEN + 1)
    )
    return [y for x, y in between if left - MARK <= x <= right + MARK]


def measured(run: TrainingResult, measure: str) -> list[float]:
    return [getattr(epoch, measure) for epoch in run.history]
