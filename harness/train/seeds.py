"""Several seeds of one framework trained as one program, where it can do that: JAX, by `vmap`.

One checkpoint holds all of them, so that they go on together, and end bit for bit as if they had not been cut off.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from harness.train import checkpoint
from harness.train.fashion_mnist import FashionMnist
from harness.train.trainings import (
    BATCH_SIZE,
    LEARNING_RATE,
    Weights,
    batch_orders,
    go_on,
    recipe_of,
    resolve_device,
    summary,
)

TOGETHER = {"jax": "impls.jax_flax.seeds"}
"""framework -> the module whose `train_seeds` trains several at once"""


def run_together(
    name: str,
    data: FashionMnist,
    seeds: list[int],
    *,
    epochs: int,
    device: str = "auto",
    dtype: str = "float32",
    on_progress: Callable[[int], None] | None = None,
    on_epoch: Callable[[dict], None] | None = None,
    resume: Path | None = None,
    population: bool = False,
) -> list[dict[str, Any]]:
    """What `trainings.run` returns, one a seed. A record's seconds are the seed's share of an epoch of all.

    on_progress: called with the examples done by all seeds; on_epoch: with the first seed's record.
    """
    from reference.lenet import initial_weights

    where = resolve_device(name, device)
    recipe = recipe_of(name, data, seeds[0], where, dtype, False) | {"seeds": seeds}
    path = resume / f"{name}-seeds{'-'.join(map(str, seeds))}.npz" if resume else None

    def train(found: checkpoint.Checkpoint, keep: Callable[[list[dict], Weights], None]) -> dict[str, Any]:
        done = len(found.history)  # an entry an epoch: a record a seed
        results = importlib.import_module(TOGETHER[name]).train_seeds(
            data,
            together(found.weights, len(seeds)),
            np.stack([batch_orders(len(data.train_images), epochs, seed)[done:] for seed in seeds]),
            learning_rate=LEARNING_RATE,
            batch_size=BATCH_SIZE,
            dtype=dtype,
            device=where,
            first_epoch=done + 1,
            on_progress=on_progress,
            on_epoch=lambda records, weights: keep(records, apart(weights)),
        )
        return results[0] | {"weights": apart([one["weights"] for one in results])}

    def of_first(records: list[dict]) -> None:
        if on_epoch:
            on_epoch(records[0])

    found = go_on(path, recipe, apart([initial_weights(seed) for seed in seeds]), epochs, train, of_first)
    weights = together(found.weights, len(seeds))
    if population and "population_test_accuracy" not in found.result:
        from harness.train.accuracy import population_test_accuracy

        found.result["population_test_accuracy"] = [population_test_accuracy(one, data) for one in weights]
    if path:
        checkpoint.save(path, recipe, found)
    return [
        summary(
            name,
            found.result
            | {"history": [records[k] for records in found.history], "weights": weights[k]}
            | mine(found, k),
            len(data.train_images),
            seed,
        )
        for k, seed in enumerate(seeds)
    ]


def mine(found: checkpoint.Checkpoint, k: int) -> dict[str, float]:
    """What the result holds of seed k alone."""
    of_all = found.result.get("population_test_accuracy")
    return {"population_test_accuracy": of_all[k]} if of_all else {}


def apart(weights: list[Weights]) -> Weights:
    """One flat dict, the names of seed k's arrays behind "k/"."""
    return {f"{k}/{name}": array for k, one in enumerate(weights) for name, array in one.items()}


def together(flat: Weights, seeds: int) -> list[Weights]:
    """The inverse of `apart`."""
    return [
        {name.split("/", 1)[1]: array for name, array in flat.items() if name.startswith(f"{k}/")} for k in range(seeds)
    ]
