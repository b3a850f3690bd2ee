"""What can be chosen about a training and a lockstep, and what hears of their progress."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.train.results import EpochRecord

EPOCHS = 10
LOCKSTEP_STEPS = 235
"""One epoch: after a few steps only, a tensor that started at zero is too small to measure by."""


def ignore(_: object) -> None:
    """Progress that nobody asked for."""


@dataclass(frozen=True)
class TrainingOptions:
    """One training of one implementation."""

    implementation: str
    """"numpy", "torch" or "jax"."""
    epochs: int = EPOCHS
    seed: int = 0
    """Fixes the initial weights and the batch order, both shared by all frameworks."""
    device: str = "auto"
    """"auto", "cpu" or "cuda"."""
    dtype: str = "float32"
    resume: Path | None = None
    """A folder with a checkpoint, written after every epoch, from which an interrupted training continues."""
    compiled: bool = False
    """PyTorch's steps compiled; of no effect elsewhere."""
    population: bool = False
    """Measure test accuracy also with statistics of the whole training set."""
    replicas: int = 1
    """More than one train together, each on a shard of every batch. "torch" and "jax" can."""


@dataclass(frozen=True)
class TrainingProgress:
    on_progress: Callable[[int], None] = ignore
    """Called with the number of examples trained on so far, those before a resumption included."""
    on_epoch: Callable[[EpochRecord], None] = ignore


NO_PROGRESS = TrainingProgress()


@dataclass(frozen=True)
class LockstepOptions:
    """Trainings from the same start over the same batches, compared tensor by tensor."""

    implementations: tuple[str, ...]
    steps: int = LOCKSTEP_STEPS
    dtype: str = "float64"
    seed: int = 0
    device: str = "cpu"
    bn: str | None = None
    """A target whose batch norm is put into the NumPy network, which is then compared with the plain one instead."""
    activations: bool = False
    """Compare also what every layer passes on."""
    replicas: int = 1
    """More than one: each implementation is compared with its own training by so many replicas."""


@dataclass(frozen=True)
class LockstepProgress:
    on_run: Callable[[str], None] = ignore
    """Called with the name of the training that makes its steps now."""
    on_progress: Callable[[int], None] = ignore
    """Called with the number of steps that all have made."""


NO_LOCKSTEP_PROGRESS = LockstepProgress()
