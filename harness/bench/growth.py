"""How the cost of a layer grows with the examples and with the channels: the shapes of two sweeps, and their slopes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.bench.results import LayerThroughput

EXAMPLES, CHANNELS = "N", "C"
SWEEPS = {
    EXAMPLES: tuple((n, 64, 14, 14) for n in (1, 4, 16, 64, 256)),
    CHANNELS: tuple((16, c, 14, 14) for c in (4, 16, 64, 256, 1024)),
}
"""What grows -> the shapes, from 3 thousand values or less to 3 million: from call overhead to memory."""
AXES = {EXAMPLES: 0, CHANNELS: 1}
SHAPES = tuple(dict.fromkeys(shape for sweep in SWEEPS.values() for shape in sweep))

Curve = tuple[list[int], list[float]]
"""(sizes, seconds a call)"""


def is_sweep(shapes: Sequence[tuple[int, ...]]) -> bool:
    return set(SHAPES) <= set(shapes)


def curves(records: Sequence[LayerThroughput], grows: str) -> dict[str, Curve]:
    """Contestant -> its curve along a sweep, from the records of one framework, layout, dtype, mode and way."""
    of_shape = {record.shape: record for record in records}
    along = [of_shape[shape] for shape in SWEEPS[grows] if shape in of_shape]
    sizes = [record.shape[AXES[grows]] for record in along]
    return {
        "ours": (sizes, [record.seconds for record in along]),
        "native": (sizes, [record.native_seconds for record in along]),
        "small operations": (sizes, [record.small_seconds or float("nan") for record in along]),
    }


def slope(curve: Curve) -> float:
    """The exponent of the growth over the larger half of the sizes, by least squares: 1 where the cost is linear."""
    sizes, seconds = curve
    half = len(sizes) // 2
    return float(np.polyfit(np.log(sizes[half:]), np.log(seconds[half:]), 1)[0])
