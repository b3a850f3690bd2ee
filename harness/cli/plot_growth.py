"""`bnproof bench layer --growth --plot`: seconds a call against the examples and against the channels."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

from harness.bench.growth import SWEEPS, curves, slope
from harness.bench.results import LayerThroughput
from harness.cli.plot_layers import COLOURS
from harness.cli.show_layers import group


def plot_growth(records: Sequence[LayerThroughput], path: Path) -> None:
    """A row of panels for each framework, layout, dtype, mode and way: over N, and over C; both axes logarithmic."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    groups = [(name, list(some)) for name, some in itertools.groupby(sorted(records, key=title), key=title)]
    figure, panels = plt.subplots(
        len(groups), len(SWEEPS), figsize=(9, 3 * len(groups) + 0.4), squeeze=False, layout="constrained"
    )
    for (name, of_group), row in zip(groups, panels, strict=True):
        for grows, panel in zip(SWEEPS, row, strict=True):
            for contestant, curve in curves(of_group, grows).items():
                sizes, seconds = curve
                label = f"{contestant}, slope {slope(curve):.2f}"
                panel.plot(sizes, [1e3 * value for value in seconds], "o-", color=COLOURS[contestant], label=label)
            panel.set(xscale="log", yscale="log", xlabel=grows, ylabel="ms a call")
            panel.legend(fontsize=7)
        row[0].set_title(name, loc="left", fontsize=9)
    figure.savefig(path)
    plt.close(figure)


def title(record: LayerThroughput) -> str:
    return f"{group(record)}, {record.layout}"
