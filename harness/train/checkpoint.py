"""What a training leaves after every epoch, so that one that was killed goes on where it was.

A file holds the weights and moving statistics as they were, bit for bit, the history, and the recipe. The batch order
of every epoch follows from the seed and plain SGD has no state of its own, so nothing else is needed.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import UsageError


class CheckpointError(UsageError):
    """A checkpoint that cannot be read, or belongs to another training."""


@dataclass(frozen=True)
class Checkpoint:
    history: list[Any]
    """An entry an epoch: a record, or a record a seed where several are trained together."""
    weights: dict[str, np.ndarray]
    result: dict[str, Any]
    """What else the training said of itself: device, dtype, compile_seconds, step."""


def save(path: Path, recipe: dict[str, Any], found: Checkpoint) -> None:
    """Write beside `path`, then rename: whenever the process dies, `path` is a whole checkpoint or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    said = {"recipe": recipe, "history": found.history, "result": found.result}
    arrays: dict[str, Any] = {f"w:{name}": array for name, array in found.weights.items()}
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("wb") as file:
        np.savez(file, said=np.array(json.dumps(said)), **arrays)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def load(path: Path, recipe: dict[str, Any]) -> Checkpoint | None:
    """The checkpoint at `path`, or None where there is none. Raises CheckpointError unless it is of this recipe."""
    if not path.exists():
        return None
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            said = json.loads(str(arrays["said"]))
            weights = {name[2:]: arrays[name] for name in arrays if name.startswith("w:")}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path} is not a checkpoint ({error}); delete it to start over") from error
    theirs = said["recipe"]
    for name in recipe.keys() | theirs.keys():
        if recipe.get(name) != theirs.get(name):
            raise CheckpointError(
                f"{path} is of another training: its {name} is {theirs.get(name)!r}, this one's is "
                f"{recipe.get(name)!r}; name another folder with --resume, or delete it to start over"
            )
    return Checkpoint(said["history"], weights, said["result"])


def digest(data: Any) -> str:
    """Of the examples, so that a checkpoint is not continued on others."""
    found = hashlib.sha256()
    for name in ("train_images", "train_labels", "test_images", "test_labels"):
        found.update(np.ascontiguousarray(getattr(data, name)).tobytes())
    return found.hexdigest()[:16]
