"""What a benchmark results in. Field names are those of the ledger's records."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

ITEM_SIZES = {"float32": 4, "bfloat16": 2}
"""Bytes a value."""


class Clock(StrEnum):
    END_TO_END = "end_to_end"
    """The whole epoch, its evaluation included."""
    STEP = "step"


class Decision(StrEnum):
    """What a ratio says. It is claimed only where both trained the same, and beyond the control's own spread."""

    FASTER = "faster"
    SLOWER = "slower"
    INCONCLUSIVE = "INCONCLUSIVE"
    DISAGREES = "DISAGREES"


@dataclass(frozen=True)
class Spread:
    """Median and quartiles."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Round:
    """One short epoch of one contestant: the epoch's record, and what the call took."""

    epoch: int
    loss: float
    train_accuracy: float
    test_accuracy: float
    step_seconds: float
    seconds: float
    call_seconds: float
    """Wall time of the whole call, set-up included."""
    cpu_seconds: float
    compile_seconds: float
    device: str
    how: str
    """How a step ran: "eager", "compiled", "CUDA graph" and the like."""
    threads: int
    memory_mb: float
    """The greatest resident size of its process so far."""
    core_distance_ns: float | None = None
    """The greater of before and after the round; None where it cannot be measured."""


@dataclass(frozen=True)
class TrainingThroughput:
    """One way of training against a baseline, by one clock."""

    name: str
    clock: Clock
    against: str
    """The baseline: who ran in the same rounds."""
    control: Spread
    """The baseline's second run in every round over its first: how far it is from itself."""
    ratio: Spread
    """How many times faster than the baseline, round by round."""
    decision: Decision
    aim: float | None
    met: bool | None
    """Whether the median reaches the aim; None where there is none, or nothing is decided."""
    memory_mb: float
    threads: int
    device: str
    how: str
    cpu_ratio: float
    """The baseline's CPU time over this one's: the median."""
    compile_seconds: float
    rounds: int
    examples: int
    """In a round."""
    examples_per_second: float
    limit_share: float
    """How much of the rate of a large matrix product its arithmetic reaches."""
    matmul_flops: float
    """That rate, per second."""
    ratio_near: Spread | None = None
    """Of the rounds alone in which the cores were near each other; None where there are none."""
    rounds_near: int = 0
    core_distance_ns: Spread | None = None
    bench: Literal["training"] = "training"


@dataclass(frozen=True)
class LayerThroughput:
    """One batch-norm layer of ours against the framework's own."""

    name: str
    """The framework."""
    layout: str
    shape: tuple[int, ...]
    against: str
    seconds: float
    """A call of ours: the fastest round."""
    native_seconds: float
    bytes_per_second: float
    """By the memory traffic that a single pass each way needs."""
    ratio: Spread
    """Native's time over ours."""
    control: Spread
    decision: Decision
    rounds: int
    device: str
    dtype: str = "float32"
    mode: str = "training"
    """Or "prediction"."""
    way: str = "both"
    """What was timed: "forward", "backward", or "both"."""
    threads: int | None = None
    """None: as many as the machine has."""
    small_seconds: float | None = None
    """The plain formula as a chain of small operations: the fastest round."""
    copy_bytes_per_second: float | None = None
    """Read and written by a copy of x."""
    single_pass_share: float | None = None
    """`bytes_per_second` over the copy's."""
    two_pass_share: float | None = None
    """The same where the traffic counts twice what is read for the statistics, or for the sums of the gradient."""
    kept_bytes: int | None = None
    """What backward needs, beside the parameters: x and 2C numbers at best. JAX may count gamma."""
    native_kept_bytes: int | None = None
    peak_bytes: int | None = None
    """Allocated at most in a call, forward and backward, beside x and dy."""
    native_peak_bytes: int | None = None
    native_is_right: bool = True
    """Whether native's y and dx are within the tolerance; where ours are not, nothing is decided."""
    bench: Literal["layer"] = "layer"

    @property
    def bytes_of_x(self) -> int:
        return ITEM_SIZES[self.dtype] * math.prod(self.shape)


@dataclass(frozen=True)
class SuiteTiming:
    """How long the suite takes for one target."""

    name: str
    suite: str
    seconds: float
    """The median of the rounds."""
    rounds: tuple[float, ...]
    comparisons: int
    comparisons_per_second: float
    parts: dict[str, float] = field(default_factory=dict)
    """Seconds of each part of the work, by the names of `harness.bench.suite.PARTS`; the medians of the rounds."""
    bench: Literal["suite"] = "suite"


def distance_range(distances: Iterable[Spread | None]) -> tuple[float, float] | None:
    """The outermost quartiles of the cores' distances, in ns; None where nothing was measured."""
    measured = [spread for spread in distances if spread is not None]
    if not measured:
        return None
    return min(spread.low for spread in measured), max(spread.high for spread in measured)
