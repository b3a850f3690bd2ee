"""What the layers of one framework, on the same x and dy, give to `layer.py` to be timed and compared."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

os.environ.setdefault("KINETO_LOG_LEVEL", "5")  # before torch is imported: its profiler says when it starts and stops

OURS, NATIVE, AGAIN, SMALL, COPY = "ours", "native", "ours again", "small operations", "copy"

Step = Callable[[], Any]


@dataclass
class Contest:
    """The layers of one case, on the same x and dy."""

    steps: dict[str, Step]
    """Contestant -> what is timed. It may return before it is done."""
    wait: Callable[[Any], Any]
    """Until what a step returned is there."""
    results: Callable[[str], list[Any]]
    """A contestant's (y, dx)."""
    kept: dict[str, int | None]
    """Bytes that ours and native keep for backward, beside the parameters."""
    peaks: dict[str, int | None]
    """Bytes that they allocate at most, forward and backward, beside x and dy."""


def arrays(shape: tuple[int, ...], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(x, dy), float32."""
    rng = np.random.default_rng(seed)
    return rng.normal(1, 2, shape).astype(np.float32), rng.normal(0, 1, shape).astype(np.float32)
