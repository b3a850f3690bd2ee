"""Three frameworks from the same start over the same batches: how far apart do they get?

The yardstick is measured in the same run: one framework is trained once more from a start that is perturbed by one
unit in the last place. Frameworks that differ by rounding alone stay within a small multiple of what that grows to.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np

from harness.fashion_mnist import FashionMnist
from harness.trainings import BATCH_SIZE, LEARNING_RATE, MODULES, batch_orders

ALLOWED = 10.0
"""A pair may be this many times as far apart as the perturbed framework is from itself."""
SELF = "torch"


def one_ulp_off(weights: dict[str, np.ndarray], dtype: str, seed: int) -> dict[str, np.ndarray]:
    """Every weight moved to its neighbour, up or down at random. Moving statistics stay as they are."""
    rng = np.random.default_rng([seed, 2])
    moved = {}
    for name, value in weights.items():
        value = value.astype(dtype)
        away = np.where(rng.random(value.shape) < 0.5, np.inf, -np.inf).astype(dtype)
        moved[name] = value if "moving" in name else np.nextafter(value, away)
    return moved


def lockstep(
    data: FashionMnist,
    names: list[str],
    *,
    steps: int,
    dtype: str = "float64",
    seed: int = 0,
    on_run: Callable[[str], None] | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> list[dict[str, Any]]:
    """Distances ||a - b|| / ||b|| of every weight tensor after `steps` steps, pair by pair: ledger records.

    Each record holds the pair, the tensor, its distance, and the distance of the perturbed run as `self_distance`.
    """
    from reference.lenet import initial_weights

    start = initial_weights(seed)
    orders = batch_orders(len(data.train_images), 1, seed)[:, : steps * BATCH_SIZE]
    oneself = SELF if SELF in names else names[0]

    def trained(name: str, weights: dict[str, np.ndarray], label: str) -> dict[str, np.ndarray]:
        if on_run:
            on_run(label)
        module = importlib.import_module(MODULES[name])
        result = module.train(
            data,
            weights,
            orders,
            learning_rate=LEARNING_RATE,
            batch_size=BATCH_SIZE,
            dtype=dtype,
            on_progress=on_progress,
        )
        return result["weights"]

    runs = {name: trained(name, start, name) for name in names}
    perturbed = trained(oneself, one_ulp_off(start, dtype, seed), f"{oneself} from a start one ulp off")
    done = -(-orders.shape[1] // BATCH_SIZE)
    return [
        {
            "a": a,
            "b": b,
            "dtype": dtype,
            "steps": done,
            "tensor": tensor,
            "distance": distance(runs[a][tensor], runs[b][tensor]),
            "self_distance": distance(perturbed[tensor], runs[oneself][tensor]),
            "self": oneself,
            "allowed": ALLOWED,
        }
        for a, b in combinations(names, 2)
        for tensor in start
    ]


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """||a - b|| / ||b|| in the Euclidean norm."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    norm = float(np.linalg.norm(b))
    return float(np.linalg.norm(a - b)) / norm if norm > 0 else float(np.linalg.norm(a - b))


def is_within(record: dict[str, Any]) -> bool:
    return record["distance"] <= record["allowed"] * record["self_distance"]
