"""Trainings epoch by epoch, as a PNG: what `bnproof train` leaves behind."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from harness.record.files import write_whole_bytes
from harness.record.kinds import TrainingResult

MEASURES = (("loss", "loss"), ("train_accuracy", "train accuracy"), ("test_accuracy", "test accuracy"))
"""(field of an epoch's record, title) of each panel."""
COLOURS = ("#2b6cb0", "#c05621", "#2f855a", "#805ad5")
MARKERS = ("o", "s", "^", "D")
DASHES = ("-", "--", ":", "-.")


def curves(runs: Sequence[TrainingResult], path: Path, is_sample: bool) -> None:
    """A PNG of loss, train accuracy and test accuracy by epoch; a line a run, a colour an implementation."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.9), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 3)
    names = implementations(runs)
    longest = max((run.epochs for run in runs), default=1)
    for axis, (measure, title) in zip(axes, MEASURES, strict=True):
        for run in runs:
            axis.plot(
                [record.epoch for record in run.history],
                [getattr(record, measure) for record in run.history],
                markersize=4,
                linewidth=1.4,
                alpha=0.85,
                **line_style(names.index(run.implementation)),
            )
        axis.set_title(title, loc="left", fontsize=11)
        axis.set_xlabel("epoch")
        axis.set_xlim(0.5, longest + 0.5)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    for number, name in enumerate(names):
        axes[0].plot([], [], label=legend(runs, name), **line_style(number))
    if names:
        axes[0].legend(frameon=False, fontsize=9)
    if is_sample:
        figure.suptitle("SAMPLE DATA: these are not Fashion-MNIST results", color="#c00000", weight="bold")
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=130, metadata={"Software": None})
    write_whole_bytes(path, picture.getvalue())


def line_style(number: int) -> dict[str, str]:
    """How matplotlib draws the lines of an implementation."""
    style = number % len(COLOURS)
    return {"color": COLOURS[style], "marker": MARKERS[style], "linestyle": DASHES[style]}


def implementations(runs: Sequence[TrainingResult]) -> list[str]:
    """Each once, in the order of their first runs."""
    return list(dict.fromkeys(run.implementation for run in runs))


def legend(runs: Sequence[TrainingResult], name: str) -> str:
    """The name, and how many seeds where there are several. A dollar sign would start a formula."""
    seeds = sum(run.implementation == name for run in runs)
    return name.replace("$", r"\$") + (f" ({seeds} seeds)" if seeds > 1 else "")
