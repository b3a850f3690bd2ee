"""The folder of a run, by which the processes of a run exchange what is to be done, how far it is, and what came of it.

Files are written beside their place and renamed, so that what is there is whole.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.train.fashion_mnist import FashionMnist
from reference.lenet import Weights

ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")
RESULT, FAILURE, BEATS = "result.npz", "failure.json", "beats"


@dataclass(frozen=True)
class Request:
    """What is to be trained, arrays aside."""

    replicas: int
    learning_rate: float
    batch_size: int
    dtype: str
    device: str
    first_epoch: int
    source: str
    """Where the data came from."""


class RunFolder:
    def __init__(self, path: Path) -> None:
        self.path = path

    def write_request(self, request: Request, data: FashionMnist, weights: Weights, orders: np.ndarray) -> None:
        for name in ARRAYS:
            np.save(self.path / f"{name}.npy", getattr(data, name))
        np.save(self.path / "orders.npy", orders)
        self.write("start.npz", asdict(request), weights)

    def read_request(self) -> tuple[Request, FashionMnist, Weights, np.ndarray]:
        content, weights = self.read("start.npz")
        request = Request(**content)
        arrays = {name: np.load(self.path / f"{name}.npy", mmap_mode="r") for name in ARRAYS}
        return request, FashionMnist(**arrays, source=request.source), weights, np.load(self.path / "orders.npy")

    def unlink_data(self) -> None:
        """Once every rank has the arrays open they need no names: nothing large is left behind, whoever is killed."""
        for name in ARRAYS:
            (self.path / f"{name}.npy").unlink(missing_ok=True)

    def write(self, name: str, content: dict[str, Any], weights: Weights) -> None:
        partial = self.path / f"{name}.partial"
        with partial.open("wb") as file:
            arrays: dict[str, Any] = {f"weights/{name}": array for name, array in weights.items()}
            np.savez(file, content=np.array(json.dumps(content)), **arrays)
        partial.replace(self.path / name)

    def read(self, name: str) -> tuple[dict[str, Any], Weights]:
        with np.load(self.path / name) as arrays:
            weights = {n.partition("/")[2]: arrays[n] for n in arrays.files if n != "content"}
            return json.loads(str(arrays["content"])), weights

    def has(self, name: str) -> bool:
        return (self.path / name).exists()
