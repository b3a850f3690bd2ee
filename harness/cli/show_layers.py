"""`bnproof bench layer` on the screen: a table for each framework, dtype, mode and way."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from harness.bench.results import LayerThroughput, Spread
from harness.cli.output import out

COLUMNS = (
    ("", 22), ("ours", 9), ("native", 9), ("small", 9), ("native/ours", 22), ("control", 22), ("", 14),
    ("1 pass", 7), ("2 passes", 9), ("kept", 5), ("native", 7), ("peak", 5), ("native", 7),
)  # fmt: skip
"""Headings and widths. The first is flush left."""
LEGEND = (
    "ours, native, small: milliseconds of the layers and of the plain formula as a chain of small operations. 1 pass, "
    "2 passes: ours as a share of a copy's bytes per second, where reads for the statistics count once or twice. kept, "
    "peak: what backward needs, and the most that is allocated, in arrays of x's size."
)


def layers(records: Sequence[LayerThroughput]) -> None:
    ordered = sorted(records, key=group)
    for title, of_group in itertools.groupby(ordered, key=group):
        line("")
        line(title)
        line(in_columns([heading for heading, _ in COLUMNS]))
        for record in of_group:
            line(in_columns(row(record)))
    line("")
    line(LEGEND)
    if not all(record.native_is_right for record in records):
        line("*: the framework's own y or dx is wrong by more than the tolerance there.")


def group(record: LayerThroughput) -> str:
    threads = "" if record.threads is None else f", {record.threads} threads"
    return f"{record.name} on {record.device}{threads}, {record.dtype}, {record.mode}, {record.way}"


def row(record: LayerThroughput) -> Sequence[str]:
    shape = "x".join(map(str, record.shape))
    return (
        f"{shape} {record.layout.removeprefix('channels ')}",
        *map(milliseconds, (record.seconds, record.native_seconds, record.small_seconds)),
        spread(record.ratio),
        spread(record.control),
        record.decision if record.native_is_right else f"{record.decision} *",
        *map(percent, (record.single_pass_share, record.two_pass_share)),
        *(arrays(number, record) for number in (record.kept_bytes, record.native_kept_bytes)),
        *(arrays(number, record) for number in (record.peak_bytes, record.native_peak_bytes)),
    )


def in_columns(words: Sequence[str]) -> str:
    first, *rest = zip(words, (width for _, width in COLUMNS), strict=True)
    return first[0].ljust(first[1]) + "".join(word.rjust(width) for word, width in rest)


def milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{1e3 * seconds:.3f}"


def percent(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def arrays(number: int | None, record: LayerThroughput) -> str:
    """Bytes as a multiple of x's."""
    return "" if number is None else f"{number / record.bytes_of_x:.2f}"


def spread(values: Spread) -> str:
    return f"{values.median:.2f} ({values.low:.2f} to {values.high:.2f})"


def line(text: str) -> None:
    out.print(text, highlight=False, soft_wrap=True)
