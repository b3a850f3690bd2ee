"""`bnproof bench layer --plot`: how many times the least that memory allows a layer takes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

from harness.bench.results import LayerThroughput
from harness.cli.show_layers import group

COLOURS = {"ours": "#0b6e4f", "native": "#c8553d", "small operations": "#b8b8b8"}


def plot_layers(records: Sequence[LayerThroughput], path: Path) -> None:
    """A panel for each framework, dtype, mode and way; the file's name says the format: .svg, .png, .pdf.

    1 is what reading and writing everything once takes at the rate of a copy of x.
    """
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    groups = [
        (title, list(records)) for title, records in itertools.groupby(sorted(records, key=group), key=group)
    ]  # fmt: skip
    rows = [len(of_group) + 1 for _, of_group in groups]
    figure, panels = plt.subplots(
        len(groups), 1, figsize=(8, 0.5 * sum(rows) + 0.8), height_ratios=rows, squeeze=False, layout="constrained"
    )
    for (title, of_group), panel in zip(groups, panels[:, 0], strict=True):
        for place, (name, colour) in enumerate(COLOURS.items()):
            heights = [row + 0.25 * (place - 1) for row in range(len(of_group))]
            panel.barh(heights, [times_the_least(record)[name] for record in of_group], 0.23, color=colour, label=name)
        panel.set_yticks(range(len(of_group)), [label(record) for record in of_group])
        panel.invert_yaxis()
        panel.set_xscale("log")
        panel.axvline(1, color="black", linewidth=0.8)
        panel.set_title(title, loc="left", fontsize=10)
    panels[-1, 0].set_xlabel("time, in units of one pass at the rate of a copy")
    panels[0, 0].legend(loc="lower right", fontsize=8)
    figure.savefig(path)
    plt.close(figure)


def label(record: LayerThroughput) -> str:
    return f"{'×'.join(map(str, record.shape))} {record.layout.removeprefix('channels ')}"


def times_the_least(record: LayerThroughput) -> dict[str, float]:
    """Contestant -> its time over that of one pass."""
    if record.single_pass_share is None:
        return dict.fromkeys(COLOURS, float("nan"))
    least = record.single_pass_share * record.seconds
    small = float("nan") if record.small_seconds is None else record.small_seconds
    return {"ours": record.seconds / least, "native": record.native_seconds / least, "small operations": small / least}
