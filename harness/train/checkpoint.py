"""What a training leaves after every epoch, so that an interrupted one can continue.

A file holds the weights and moving statistics bit for bit, the history, and the recipe. The batch order
of every epoch follows from the seed and plain SGD has no state of its own, so nothing else is needed.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from harness.cases.archive import UNREADABLE, opened
from harness.errors import UsageError
from harness.train.recipe import Recipe
from harness.train.results import EpochRecord
from reference.lenet import Weights


class CheckpointError(UsageError):
    """A checkpoint that cannot be read, or belongs to another training."""


@dataclass(frozen=True)
class Checkpoint:
    """The state of a training of one seed, or of several together, after its last whole epoch."""

    history: tuple[tuple[EpochRecord, ...], ...]
    """history[e][k] is the record of seed k after epoch e + 1."""
    weights: tuple[Weights, ...]
    """Seed by seed."""
    device: str
    dtype: str
    compile_seconds: float = 0.0
    step: str = ""
    """How a step ran, known only at the end."""
    population_test_accuracy: tuple[float, ...] | None = None
    """Seed by seed; None until it is measured."""


@dataclass(frozen=True)
class CheckpointFile:
    path: Path | None
    """None: nothing is kept."""
    recipe: Recipe

    def save(self, checkpoint: Checkpoint) -> None:
        """Write beside `path`, then rename: whenever the process dies, `path` is a whole checkpoint or none."""
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        content = {name: value for name, value in vars(checkpoint).items() if name != "weights"}
        content["history"] = [[asdict(record) for record in records] for records in checkpoint.history]
        content["recipe"] = asdict(self.recipe)
        arrays: dict[str, Any] = {
            f"{k}/{name}": array for k, weights in enumerate(checkpoint.weights) for name, array in weights.items()
        }
        partial = self.path.with_name(f"{self.path.name}.partial")
        with partial.open("wb") as file:
            np.savez(file, content=np.array(json.dumps(content)), **arrays)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.path)

    def load(self) -> Checkpoint | None:
        """The checkpoint, or None where there is none. Raises CheckpointError unless it is of this recipe."""
        if self.path is None or not self.path.exists():
            return None
        try:
            with opened(self.path) as arrays:
                content = json.loads(_text(arrays["content"]))
                recipe = _recipe(content.pop("recipe"))
                weights = tuple(_weights_of_seed(arrays, k) for k in range(len(recipe.seeds)))
            checkpoint = _checkpoint(content, weights)
        except UNREADABLE as error:
            reason = " ".join(str(error).split())
            raise CheckpointError(f"{self.path} is not a checkpoint ({reason}); delete it to start over") from error
        for field in fields(Recipe):
            theirs, ours = getattr(recipe, field.name), getattr(self.recipe, field.name)
            if theirs != ours:
                raise CheckpointError(
                    f"{self.path} is of another training: its {field.name} is {theirs!r}, this one's is "
                    f"{ours!r}; name another folder with --resume, or delete it to start over"
                )
        return checkpoint


def _text(array: np.ndarray) -> str:
    """Raises ValueError: NumPy makes a str of any numbers of 32 bits, and few of these are characters."""
    if array.dtype.kind != "U" or (array.reshape(-1).astype("=U").view(np.uint32) > sys.maxunicode).any():
        raise ValueError("what is said of the training is no text")
    return str(array)


def _recipe(content: dict[str, Any]) -> Recipe:
    return Recipe(**content | {"seeds": tuple(content["seeds"])})


def _weights_of_seed(arrays: Any, k: int) -> Weights:
    return {name.split("/", 1)[1]: arrays[name] for name in arrays if name.startswith(f"{k}/")}


def _checkpoint(content: dict[str, Any], weights: tuple[Weights, ...]) -> Checkpoint:
    accuracies = content.pop("population_test_accuracy")
    history = tuple(tuple(EpochRecord(**record) for record in records) for records in content.pop("history"))
    return Checkpoint(
        history, weights, population_test_accuracy=None if accuracies is None else tuple(accuracies), **content
    )
