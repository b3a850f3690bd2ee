"""What a training, a lockstep and a comparison over seeds result in. Field names are those of the ledger's records."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class EpochRecord:
    """One epoch of one training."""

    epoch: int
    """From 1."""
    loss: float
    """Mean cross entropy over the epoch's examples, as seen while training."""
    train_accuracy: float
    """As seen while training."""
    test_accuracy: float
    """After the epoch, in prediction mode."""
    step_seconds: float
    """The steps alone; what exactly that covers is in the docstring of each framework's `train`."""
    seconds: float
    """The whole epoch, its evaluation included."""


@dataclass(frozen=True)
class TrainingResult:
    """One training: its last epoch's figures, both clocks, and the history that they come from."""

    implementation: str
    seed: int
    device: str
    dtype: str
    epochs: int
    examples: int
    """In the training set."""
    loss: float
    train_accuracy: float
    test_accuracy: float
    step_examples_per_second: float
    """By `step_seconds`, over all epochs."""
    examples_per_second: float
    """By `seconds`: end to end."""
    compile_seconds: float
    gamma: tuple[float, ...]
    """(6,): the first batch-norm layer's."""
    beta: tuple[float, ...]
    history: tuple[EpochRecord, ...]
    step: str = ""
    """How a step ran: "eager", "compiled", "CUDA graph" and the like."""
    population_test_accuracy: float | None = None
    """With statistics of the whole training set in place of the moving averages; None where that was not asked for."""
    is_sample: bool = False
    """Trained on the small sample: accuracy and loss do not compare with those of the full data."""


@dataclass(frozen=True)
class LockstepRecord:
    """How far one tensor of two trainings is apart after some steps."""

    a: str
    b: str
    dtype: str
    steps: int
    tensor: str
    """A weight or moving statistic by name, "gradient of NAME" or "activation of LAYER"."""
    distance: float
    """||a - b|| / ||b|| in the Euclidean norm."""
    self_distance: float
    """The yardstick: how far `self` has got from its own training with everything relabelled."""
    self: str
    """The framework whose distance from itself that was: which one counts, `Yardstick.from_itself` says."""
    allowed: float
    """How many yardsticks the distance may be."""
    last: bool = True
    """Whether this is the last step at which the tensors were compared."""
    first_out: bool = False
    """Whether this is the first tensor of all that was further apart than allowed."""

    # `self` is a field here, so the methods call their own object `record`.

    @property
    def limit(record) -> float:  # noqa: N805
        """How far the two may be apart."""
        return record.allowed * record.self_distance

    @property
    def share(record) -> float:  # noqa: N805
        """How much of what is allowed the distance takes; NaN is worse than any number."""
        if record.limit > 0:
            share = record.distance / record.limit
            return math.inf if math.isnan(share) else share
        return 0.0 if record.distance == 0 else math.inf

    @property
    def is_within(record) -> bool:  # noqa: N805
        return record.distance <= record.limit


@dataclass(frozen=True)
class Interval:
    """A mean with its 95% confidence interval; of one value there is a mean alone."""

    mean: float
    deviation: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class BandRow:
    """Test accuracy after one epoch: lowest, mean and highest of the seeds."""

    epoch: int
    low: float
    mean: float
    high: float


@dataclass(frozen=True)
class PublishedPlace:
    """Where a published test accuracy falls among our own."""

    value: float
    ends_below: int
    """How many of `ends` runs end below it."""
    ends: int
    epochs_below: int
    """After how many of `epochs`, those of all runs, the accuracy is below it."""
    epochs: int


@dataclass(frozen=True)
class AccuracyRecord:
    """One implementation over its seeds."""

    implementation: str
    seeds: tuple[int, ...]
    epochs: int
    measures: dict[str, Interval]
    """loss, train_accuracy, test_accuracy, and population_test_accuracy where every run has it."""
    band: tuple[BandRow, ...]
    published: PublishedPlace


@dataclass(frozen=True)
class EquivalenceRecord:
    """Two one-sided t-tests of the differences a - b, paired by seed."""

    a: str
    b: str
    measure: str
    margin: float
    seeds: int
    """How many both have."""
    difference: float
    """The mean."""
    low: float
    """The 90% confidence interval of the mean."""
    high: float
    p: float
    equivalent: bool


@dataclass(frozen=True)
class ClockRates:
    """Examples per second by either clock."""

    step: float
    end_to_end: float


@dataclass(frozen=True)
class PublishedFigures:
    """What the tutorial printed, and the ranges that a correct run must land in."""

    source: str
    loss: float
    train_accuracy: float
    test_accuracy: float
    step_examples_per_second: float
    device: str
    gamma: tuple[float, ...]
    beta: tuple[float, ...]
    loss_range: tuple[float, float]
    train_accuracy_range: tuple[float, float]
    cpu_baseline_examples_per_second: ClockRates
    """Of the tutorial's loop on the CPU that the ranges were measured on."""
