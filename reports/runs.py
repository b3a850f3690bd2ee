"""Whole runs compared: how lockstep grows, accuracy over seeds, throughput; rows and geometry from a ledger."""

from __future__ import annotations

import math
from typing import Any

from harness.record.ledger import number

Record = dict[str, Any]
LABELLED = (1, 4, 16, 64, 235, 705)  # steps that keep apart on a logarithmic axis


def last_looks(records: list[Record]) -> list[Record]:
    """The records of the last step looked at, of the first dtype. A ledger that has but one look marks none."""
    return [one for one in records if one.get("last", True) and one["dtype"] == records[0]["dtype"]]


def growth(records: list[Record]) -> list[Record]:
    """A picture a dtype: the furthest tensor of each pair by step, and what one ulp grew to; both axes logarithmic."""
    found = []
    for dtype in dict.fromkeys(one["dtype"] for one in records):
        mine = [one for one in records if one["dtype"] == dtype]
        steps = sorted({one["steps"] for one in mine})
        if len(steps) > 1:
            found.append(_picture(dtype, mine, steps))
    return found


def _picture(dtype: str, records: list[Record], steps: list[int]) -> Record:
    pairs = list(dict.fromkeys((one["a"], one["b"]) for one in records))
    lines = [(f"{a} / {b}", [_furthest(records, step, "distance", (a, b)) for step in steps]) for a, b in pairs]
    oneself = [_furthest(records, step, "self_distance") for step in steps]
    finite = [value for _, values in [*lines, ("", oneself)] for value in values if 0 < value < math.inf]
    low, high = math.floor(math.log10(min(finite, default=1e-16))), math.ceil(math.log10(max(finite, default=1)))
    width, height, left, right, top, bottom = 760, 260, 60, 20, 14, 34

    def across(step: int) -> float:
        return round(left + (width - left - right) * math.log(step / steps[0]) / math.log(steps[-1] / steps[0]), 1)

    def up(value: float) -> float:
        """Zero sits at the lower edge; what is not finite at the upper one."""
        place = (math.log10(value) - low) / max(1, high - low) if 0 < value < math.inf else float(value != 0)
        return round(height - bottom - (height - top - bottom) * min(1.0, max(0.0, place)), 1)

    return {
        "dtype": dtype,
        "width": width,
        "height": height,
        "left": left,
        "right": width - right,
        "base": height - bottom,
        "y_ticks": [(up(10.0**power), power) for power in range(low, high + 1, max(1, (high - low) // 6))],
        "x_ticks": [(across(step), step) for step in steps if step in LABELLED or step == steps[-1]],
        "pairs": [name for name, _ in lines],
        "lines": [[(across(s), up(v)) for s, v in zip(steps, values, strict=True)] for _, values in lines],
        "self": [(across(s), up(v)) for s, v in zip(steps, oneself, strict=True)],
    }


def _furthest(records: list[Record], step: int, key: str, pair: tuple[str, str] | None = None) -> float:
    values = [number(one[key]) for one in records if one["steps"] == step and pair in (None, (one["a"], one["b"]))]
    numbers = [math.inf if value is None or math.isnan(value) else value for value in values]
    return max(numbers, default=0.0)


def seeds(ledger: dict[str, list[Record]]) -> Record:
    """Accuracy over seeds and the tests of equivalence; the band of test accuracy as geometry, a panel a framework."""
    rows = ledger.get("accuracy", [])
    measures = list(dict.fromkeys(name for one in rows for name in one["measures"]))
    return {
        "rows": rows,
        "measures": measures,
        "equivalence": ledger.get("equivalence", []),
        "bands": [_band(one) for one in rows if len(one["band"]) > 1],
    }


def _band(record: Record) -> Record:
    width, height, left, right, top, bottom = 320, 190, 40, 14, 12, 34
    values = [number(row[key]) or 0.0 for row in record["band"] for key in ("low", "high")]
    published = record["published"]["value"]
    low = math.floor(10 * min([*values, published])) / 10
    last = record["band"][-1]["epoch"]

    def across(epoch: int) -> float:
        return round(left + (width - left - right) * (epoch - 1) / (last - 1), 1)

    def up(value: Any) -> float:
        return round(height - bottom - (height - top - bottom) * ((number(value) or 0.0) - low) / (1 - low), 1)

    edge = [(across(row["epoch"]), up(row["high"])) for row in record["band"]]
    edge += [(across(row["epoch"]), up(row["low"])) for row in reversed(record["band"])]
    return {
        "name": record["implementation"],
        "width": width,
        "height": height,
        "left": left,
        "right": width - right,
        "base": height - bottom,
        "area": edge,
        "mean": [(across(row["epoch"]), up(row["mean"])) for row in record["band"]],
        "published": up(published),
        "y_ticks": [(up(low), f"{low:.1f}"), (up((low + 1) / 2), f"{(low + 1) / 2:.2f}"), (up(1), "1.0")],
        "x_ticks": [(across(epoch), epoch) for epoch in range(1, last + 1) if epoch == 1 or epoch % 2 == 0],
    }


def throughput(records: list[Record]) -> list[Record]:
    """A table a clock; "distance" is that of the cores, (lowest, highest quartile) in ns, where it was measured."""
    mine = [one for one in records if one["bench"] == "training"]
    return [
        {
            "clock": clock.replace("_", " "),
            "against": rows[0]["against"],
            "control": rows[0]["control"],
            "rounds": rows[0]["rounds"],
            "matmul": rows[0]["matmul_flops"],
            "distance": distance_range(rows),
            "rows": rows,
        }
        for clock in dict.fromkeys(one["clock"] for one in mine)
        if (rows := [one for one in mine if one["clock"] == clock])
    ]


def distance_range(records: list[Record]) -> tuple[float, float] | None:
    """The outermost quartiles of the cores' distances in ns; None where nothing was measured."""
    spreads = [record["core_distance_ns"] for record in records if record.get("core_distance_ns")]
    if not spreads:
        return None
    return min(spread["low"] for spread in spreads), max(spread["high"] for spread in spreads)


def layers(records: list[Record]) -> list[Record]:
    return [one for one in records if one["bench"] == "layer"]
