"""gamma and beta of the first layer after training, as small multiples: a picture a seed, a mark an implementation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.record.kinds import PublishedFigures, TrainingResult
from reports.curves import implementations
from reports.geometry import STYLES, Frame, Tick, linear_ticks

APART = 5.0
"""Between the marks of two implementations at one channel, in units of the picture."""
SIGNS = {"gamma": "γ", "beta": "β"}


@dataclass(frozen=True)
class Dot:
    x: float
    y: float
    style: int
    text: str


@dataclass(frozen=True)
class ParameterPanel:
    title: str
    """The parameter and the seed: "γ, seed 0"."""
    frame: Frame
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    zero: float
    """Where zero is, from which the stems rise."""
    dots: tuple[Dot, ...]


def parameter_panels(
    runs: Sequence[TrainingResult], published: PublishedFigures
) -> list[tuple[str, list[ParameterPanel]]]:
    """(the parameter, a panel a seed and one of the published run) of gamma and of beta."""
    names = implementations(runs)
    seeds = sorted({run.seed for run in runs})
    made = []
    for field, sign in SIGNS.items():
        given: tuple[float, ...] = getattr(published, field)
        values = [value for run in runs for value in getattr(run, field)] + [*given]
        ticks = linear_ticks([0.0, *filter(math.isfinite, values)], wanted=4)
        panels = [
            _panel(
                f"{sign}, seed {seed}",
                [(names.index(run.implementation), run.implementation, getattr(run, field)) for run in runs
                 if run.seed == seed],
                ticks,
                len(names),
            )
            for seed in seeds
        ]  # fmt: skip
        panels.append(_panel(f"{sign}, published (another start)", [(STYLES - 1, "published", given)], ticks, 1))
        made.append((field, panels))
    return made if runs else []


def _panel(
    title: str, series: Sequence[tuple[int, str, Sequence[float]]], ticks: Sequence[float], several: int
) -> ParameterPanel:
    frame = Frame(width=250, height=140, left=30, right=244, top=10, base=118)
    channels = max((len(values) for _, _, values in series), default=0)

    def across(channel: int, number: int) -> float:
        return round(frame.across((channel + 0.5) / channels) + APART * (number - (several - 1) / 2), 1)

    def up(value: float) -> float:
        return frame.up((value - ticks[0]) / (ticks[-1] - ticks[0]))

    dots = tuple(
        Dot(across(channel, number if several > 1 else 0), up(value), number % STYLES, f"{name}: {value:.3f}")
        for number, name, values in series
        for channel, value in enumerate(values)
        if math.isfinite(value)
    )
    x_ticks = tuple((frame.across((channel + 0.5) / channels), channel) for channel in range(channels))
    y_ticks = tuple((up(value), f"{value:g}".replace("-", "−")) for value in ticks)
    return ParameterPanel(title, frame, x_ticks, y_ticks, up(0.0), dots)
