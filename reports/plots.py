"""Whole trainings: the rows of their tables, and their pictures.

`curves` writes a PNG; `panels` and `ladder` are geometry, which a template draws as inline SVG in the page's colours.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from harness.record.ledger import number

MEASURES = (("loss", "loss"), ("train_accuracy", "train accuracy"), ("test_accuracy", "test accuracy"))
COLOURS = ("#2b6cb0", "#c05621", "#2f855a", "#805ad5")
MARKERS = ("o", "s", "^", "D")
DASHES = ("-", "--", ":", "-.")
LAST_EPOCH = 10
"""The published figures and the ranges are those of this epoch, so the axis always reaches it."""
NON_FINITE = ("nan", "inf", "-inf")


def lockstep(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row a pair and dtype: its furthest tensor at the last look, and whether all were within at every look."""
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for one in records:
        distance, oneself = number(one["distance"]), number(one["self_distance"])
        assert distance is not None
        assert oneself is not None
        allowed = one["allowed"] * oneself
        share = distance / allowed if allowed > 0 else (0.0 if distance == 0 else math.inf)
        key = one["a"], one["b"], one["dtype"]
        row = rows.setdefault(key, {"a": one["a"], "b": one["b"], "share": -1.0, "within": True})
        row["within"] = row["within"] and distance <= allowed
        if one.get("last", True) and not share <= row["share"]:
            row |= one | {"distance": distance, "self_distance": oneself, "limit": allowed, "share": share}
    return list(rows.values())


def trainings(records: list[dict[str, Any]], header: dict[str, Any]) -> list[dict[str, Any]]:
    """The training records, with whether loss and train accuracy land in the range: True, False, or None."""
    rows = []
    for one in records:
        applies = one["epochs"] == LAST_EPOCH and not (header["is_sample"] or one.get("is_sample"))
        row = {
            name: number(value) if value in NON_FINITE else value for name, value in one.items() if name != "history"
        }
        for name in ("loss", "train_accuracy"):
            low, high = header["published"][f"{name}_range"]
            row[f"{name}_in_range"] = low <= row[name] <= high if applies else None
        row["in_range"] = row["loss_in_range"] and row["train_accuracy_in_range"] if applies else None
        for name in ("gamma", "beta"):
            row[name] = [number(value) for value in one[name]]
        rows.append(row)
    return rows


def curves(runs: list[dict[str, Any]], path: Path, is_sample: bool) -> None:
    """A PNG of loss, train accuracy and test accuracy by epoch; a line a run, a colour an implementation."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.9), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 3)
    names = implementations(runs)
    longest = max((run["epochs"] for run in runs), default=1)
    for axis, (key, title) in zip(axes, MEASURES, strict=True):
        for run in runs:
            style = names.index(run["implementation"]) % len(COLOURS)
            epochs = [record["epoch"] for record in run["history"]]
            values = [number(record[key]) for record in run["history"]]
            axis.plot(
                epochs,
                values,
                color=COLOURS[style],
                marker=MARKERS[style],
                linestyle=DASHES[style],
                markersize=4,
                linewidth=1.4,
                alpha=0.85,
            )
        axis.set_title(title, loc="left", fontsize=11)
        axis.set_xlabel("epoch")
        axis.set_xlim(0.5, longest + 0.5)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    for style, name in enumerate(names):
        look = style % len(COLOURS)
        axes[0].plot(
            [], [], color=COLOURS[look], marker=MARKERS[look], linestyle=DASHES[look], label=legend(runs, name)
        )
    if names:
        axes[0].legend(frameon=False, fontsize=9)
    if is_sample:
        figure.suptitle("SAMPLE DATA: these are not Fashion-MNIST results", color="#c00000", weight="bold")
    figure.savefig(path, format="png", dpi=130, metadata={"Software": None})


def implementations(runs: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(run["implementation"] for run in runs))


def legend(runs: list[dict[str, Any]], name: str) -> str:
    """The name, and how many seeds where there are several. A dollar sign would start a formula."""
    seeds = sum(run["implementation"] == name for run in runs)
    return name.replace("$", r"\$") + (f" ({seeds} seeds)" if seeds > 1 else "")


def panels(runs: list[dict[str, Any]], published: dict[str, Any]) -> list[dict[str, Any]]:
    """The three panels of the page. A value that is not finite breaks its line and is counted."""
    width, height, left, right, top, bottom = 320, 234, 40, 14, 12, 34
    names = implementations(runs)
    longest = max([LAST_EPOCH, *(run["epochs"] for run in runs)])

    def across(epoch: float) -> float:
        return round(left + (width - left - right) * (epoch - 1) / (longest - 1), 1)

    drawn = []
    for key, title in MEASURES:
        lines = [(run, [(r["epoch"], number(r[key])) for r in run["history"]]) for run in runs]
        held = [value for _, points in lines for _, value in points if value is not None and math.isfinite(value)]
        band = published.get(f"{key}_range")
        ticks = linear_ticks([*held, published[key], *(band or [])])
        low, high = ticks[0], ticks[-1]
        decimals = max(len(f"{value:.6g}".partition(".")[2]) for value in ticks)

        def up(value: float, low: float = low, high: float = high) -> float:
            return round(height - bottom - (height - top - bottom) * (value - low) / (high - low), 1)

        drawn.append(
            {
                "title": title,
                "width": width,
                "height": height,
                "left": left,
                "right": width - right,
                "base": height - bottom,
                "x_ticks": [(across(epoch), epoch) for epoch in epoch_ticks(longest)],
                "y_ticks": [(up(value), f"{value:.{decimals}f}") for value in ticks],
                "series": [
                    {
                        "style": names.index(run["implementation"]) % len(COLOURS),
                        "name": run["implementation"],
                        "lines": [
                            [(across(epoch), up(value)) for epoch, value in piece] for piece in finite_pieces(points)
                        ],
                    }
                    for run, points in lines
                ],
                "missing": sum(len(points) for _, points in lines) - len(held),
                "band": band and (across(LAST_EPOCH), up(band[1]), up(band[0])),
                "band_text": band and f"{band[0]} to {band[1]}",
                "published": (across(LAST_EPOCH), up(published[key])),
                "published_text": str(published[key]),
            }
        )
    return drawn


def finite_pieces(points: list[tuple[int, float | None]]) -> list[list[tuple[int, float]]]:
    """The runs of consecutive points that are finite."""
    pieces: list[list[tuple[int, float]]] = [[]]
    for epoch, value in points:
        if value is not None and math.isfinite(value):
            pieces[-1].append((epoch, value))
        elif pieces[-1]:
            pieces.append([])
    return [piece for piece in pieces if piece]


def linear_ticks(values: list[float], wanted: int = 5) -> list[float]:
    """Round numbers that enclose `values`."""
    low, high = min(values), max(values)
    if not high > low:
        high = low + (abs(low) or 1.0) * 0.1
    rough = (high - low) / wanted
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(magnitude * factor for factor in (1, 2, 2.5, 5, 10) if magnitude * factor >= rough * 0.999)
    return [round(k * step, 12) for k in range(math.floor(low / step), math.ceil(high / step) + 1)]


def epoch_ticks(longest: int) -> list[int]:
    step = max(1, round(longest / 10)) if longest > 12 else 1
    return [1, *(epoch for epoch in range(step + 1 if step == 1 else step, longest + 1, step))]


def ladder(records: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Lockstep on a logarithmic axis: a row a tensor, a mark a pair, and how far it may be."""
    if not records:
        return None
    pairs = list(dict.fromkeys((one["a"], one["b"]) for one in records))
    tensors = list(dict.fromkeys(one["tensor"] for one in records))
    oneself = {one["tensor"]: number(one["self_distance"]) or 0.0 for one in records}
    allowed = {one["tensor"]: one["allowed"] * oneself[one["tensor"]] for one in records}
    seen = [number(one["distance"]) for one in records] + [*oneself.values(), *allowed.values()]
    logs = [math.log10(value) for value in seen if value is not None and 0 < value < math.inf]
    low, high = math.floor(min(logs, default=-1)), math.ceil(max(logs, default=0))
    high = max(high, low + 1)
    width, left, right, top, pitch = 786, 176, 24, 24, 17

    def across(value: float | None) -> float:
        """Zero sits at the left edge; what is not finite beyond the right one."""
        if value is None or not math.isfinite(value):
            return width - right / 2
        place = 0.0 if value <= 0 else (math.log10(value) - low) / (high - low)
        return round(left + (width - left - right) * place, 1)

    rows = []
    for place, tensor in enumerate(tensors):
        mine = [one for one in records if one["tensor"] == tensor]
        marks = [
            {
                "x": across(number(one["distance"])),
                "style": pairs.index((one["a"], one["b"])) % len(COLOURS),
                "out": not (number(one["distance"]) or 0.0) <= allowed[tensor],
                "record": one,
            }
            for one in mine
        ]
        y = top + pitch * place + pitch / 2
        limits = {"self": across(oneself[tensor]), "allowed": across(allowed[tensor])}
        rows.append({"tensor": tensor, "y": y, "marks": marks} | limits)
    every = 1 if high - low <= 10 else 2
    return {
        "width": width,
        "height": top + pitch * len(tensors) + 8,
        "left": left,
        "right": width - right,
        "top": top,
        "rows": rows,
        "ticks": [(across(10.0**power), power) for power in range(low, high + 1, every)],
        "pairs": pairs,
    }
