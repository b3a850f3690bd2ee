"""Where things are in the pages' pictures: what the templates draw as inline SVG in the page's own colours."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Point = tuple[float, float]
"""(x, y) in the units of a picture's view box, y downwards."""
Tick = tuple[float, str | int]
"""(place, label) on an axis."""
STYLES = 4
"""How many colours and marks there are for lines."""


@dataclass(frozen=True)
class Frame:
    """A picture's size, and the rectangle in it that its axes enclose."""

    width: int
    height: int
    left: int
    right: int
    top: int
    base: int

    def across(self, share: float) -> float:
        """The x of a share of the width, 0 to 1."""
        return round(self.left + (self.right - self.left) * share, 1)

    def up(self, share: float) -> float:
        """The y of a share of the height, 0 to 1."""
        return round(self.base - (self.base - self.top) * share, 1)


def linear_ticks(values: Sequence[float], wanted: int = 5) -> list[float]:
    """Round numbers that enclose `values`."""
    low, high = min(values), max(values)
    if not high > low:
        high = low + (abs(low) or 1.0) * 0.1
    rough = (high - low) / wanted
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(magnitude * factor for factor in (1, 2, 2.5, 5, 10) if magnitude * factor >= rough * 0.999)
    return [round(k * step, 12) for k in range(math.floor(low / step), math.ceil(high / step) + 1)]


def with_labels(ticks: Sequence[float], up: Callable[[float], float]) -> tuple[Tick, ...]:
    """Where each of the `linear_ticks` is, and its number: all with the decimals that one of them needs."""
    decimals = max(len(f"{value:.6g}".partition(".")[2]) for value in ticks)
    return tuple((up(value), f"{value:.{decimals}f}") for value in ticks)


def epoch_ticks(longest: int) -> list[int]:
    """About ten epochs of 1 to `longest`, the first among them."""
    step = max(1, round(longest / 10)) if longest > 12 else 1
    return [1, *(epoch for epoch in range(step + 1 if step == 1 else step, longest + 1, step))]


def decades(values: Sequence[float], default: tuple[int, int]) -> tuple[int, int]:
    """The powers of ten that enclose the positive finite `values`, at least one decade; `default` without any."""
    logs = [math.log10(value) for value in values if 0 < value < math.inf]
    low, high = math.floor(min(logs, default=default[0])), math.ceil(max(logs, default=default[1]))
    return low, max(high, low + 1)


def finite_pieces(points: Sequence[tuple[int, float]]) -> list[list[tuple[int, float]]]:
    """The runs of consecutive points that are finite."""
    pieces: list[list[tuple[int, float]]] = [[]]
    for epoch, value in points:
        if math.isfinite(value):
            pieces[-1].append((epoch, value))
        elif pieces[-1]:
            pieces.append([])
    return [piece for piece in pieces if piece]


def apart(heights: Sequence[float], least: float) -> list[float]:
    """`heights`, which ascend, moved so that each is at least so far below the one before, and little overall."""
    moved: list[float] = []
    for height in heights:
        moved.append(max(height, moved[-1] + least) if moved else height)
    shift = sum(new - old for new, old in zip(moved, heights, strict=True)) / max(len(moved), 1)
    return [round(height - shift, 1) for height in moved]
