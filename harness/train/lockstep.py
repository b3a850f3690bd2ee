"""Three frameworks from the same start over the same batches: how far apart do they get, step by step?

The yardstick is measured in the same run: each framework is trained once more from a start that is perturbed by one
unit in the last place. Frameworks that differ by rounding alone stay within a small multiple of what that grows to.
Where a tensor leaves that envelope the run stops, and the steps since the last look are made again one by one, so
that the first step and tensor can be named.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from harness.train.fashion_mnist import FashionMnist
from harness.train.trainings import BATCH_SIZE, LEARNING_RATE, MODULES, batch_orders

ALLOWED = 10.0
"""A pair may be this many times as far apart as the perturbed framework is from itself."""
SELF = "torch"
PERTURBED = "one ulp off"
FLOOR = 2 * math.log2(24 * 24 * BATCH_SIZE)
"""Units of roundoff that the yardstick is at least: what two pairwise sums over a batch's pixels may be apart. A start
one ulp off says nothing of the rounding within a step, which is all there is in the first few."""
TEST_IMAGES = 256  # a training evaluates after every chunk; nothing of that is used here
CANCELLED = ("conv1.bias", "conv2.bias", "dense1.bias", "dense2.bias")
"""Batch norm subtracts the mean, and these with it: their gradients are rounding alone, and have no relative size."""

Weights = dict[str, np.ndarray]


def one_ulp_off(weights: Weights, dtype: str, seed: int) -> Weights:
    """Every weight moved to its neighbour, up or down at random. Moving statistics stay as they are."""
    rng = np.random.default_rng([seed, 2])
    moved = {}
    for name, value in weights.items():
        value = value.astype(dtype)
        away = np.where(rng.random(value.shape) < 0.5, np.inf, -np.inf).astype(dtype)
        moved[name] = value if "moving" in name else np.nextafter(value, away)
    return moved


def looks(steps: int, per_epoch: int) -> list[int]:
    """After how many steps the distances are taken: 1, 2, 4, ... in the first epoch, then after every epoch."""
    first = [2**power for power in range(12) if 2**power < min(per_epoch, steps)]
    return [*first, *range(per_epoch, steps, per_epoch), steps]


@dataclass
class Runner:
    """One training that goes on chunk by chunk, by its module's `train` and `inspect`: weights in, weights out."""

    name: str
    weights: Weights
    train: Callable[..., dict[str, Any]]
    inspect: Callable[..., tuple[Weights, Weights]]
    options: dict[str, Any]

    def advance(self, data: Any, batches: np.ndarray) -> None:
        """batches: (n,) indices, consecutive batches of one epoch."""
        self.weights = self.train(
            data, self.weights, batches[None], learning_rate=LEARNING_RATE, batch_size=BATCH_SIZE, **self.options
        )["weights"]

    def tensors(self, data: Any, activations: bool) -> Weights:
        """Weights, moving statistics, and what they give on the first batch of the data in its own order."""
        first = data.train_images[:BATCH_SIZE], data.train_labels[:BATCH_SIZE]
        grads, passed = self.inspect(self.weights, *first, **self.options)
        found = {f"gradient of {name}": grad for name, grad in grads.items() if name not in CANCELLED}
        if activations:
            found |= {f"activation of {name}": array for name, array in passed.items()}
        return self.weights | found


def lockstep(
    data: FashionMnist,
    names: list[str],
    *,
    steps: int,
    dtype: str = "float64",
    seed: int = 0,
    device: str = "cpu",
    bn: str | None = None,
    activations: bool = False,
    on_run: Callable[[str], None] | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> list[dict[str, Any]]:
    """Distances ||a - b|| / ||b|| of every tensor, pair by pair, after each of `looks`: ledger records.

    Tensors: parameters and moving statistics by name; "gradient of NAME" and, if asked for, "activation of LAYER",
    both of the first BATCH_SIZE training images in training mode. A record holds the pair, step, tensor, distance,
    and the distance of the perturbed run as `self_distance`; "last" marks those of the last step looked at,
    "first_out" the first tensor of a pair to leave its envelope.
    bn: a target whose batch norm is put into the NumPy network, compared with the plain one; this never stops.
    """
    few = replace(data, test_images=data.test_images[:TEST_IMAGES], test_labels=data.test_labels[:TEST_IMAGES])
    runners = make_runners(["numpy"] if bn else names, dtype, seed, device, bn)
    oneself = next(one.name for one in runners if one.name == SELF or SELF not in names or bn)
    per_epoch = -(-len(data.train_images) // BATCH_SIZE)
    orders = batch_orders(len(data.train_images), -(-steps // per_epoch), seed)
    records: list[dict[str, Any]] = []
    seen: dict[str, float] = {}
    done = 0
    for stop in looks(steps, per_epoch):
        before = {one.name: one.weights for one in runners}
        advance(runners, few, orders, done, stop, on_run, on_progress)
        found = compare(tensors_of(runners, few, activations), oneself, dtype, stop, seen)
        out = [one for one in found if not is_within(one)]
        if out and not bn:
            for one in runners:
                one.weights = before[one.name]
            found = first_step_out(runners, few, orders, done, stop, oneself, dtype, seen, activations)
            return mark_last(records + found)
        records += found
        done = stop
    return mark_last(records)


def make_runners(names: list[str], dtype: str, seed: int, device: str, bn: str | None) -> list[Runner]:
    from harness.train.trainings import resolve_device
    from reference.lenet import initial_weights

    start = initial_weights(seed)

    def runner(name: str, label: str, weights: Weights, **options: Any) -> Runner:
        options |= {"dtype": dtype, "device": resolve_device(name, device)}
        module = importlib.import_module(MODULES[name])
        return Runner(label, weights, module.train, module.inspect, options)

    runners = [runner(name, name, start) for name in names]
    oneself = SELF if SELF in names else names[0]
    if bn:
        from harness.train.target_norm import target_norm

        runners.append(runner("numpy", f"numpy with {bn}", start, norm=target_norm(bn)))
    return [*runners, runner(oneself, PERTURBED, one_ulp_off(start, dtype, seed))]


def advance(
    runners: list[Runner],
    data: Any,
    orders: np.ndarray,
    done: int,
    stop: int,
    on_run: Callable[[str], None] | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> None:
    """Each runner from step `done` to `stop`, which lie in one epoch."""
    epoch, place = divmod(done, -(-orders.shape[1] // BATCH_SIZE))
    batches = orders[epoch, place * BATCH_SIZE : (place + stop - done) * BATCH_SIZE]
    for one in runners:
        if on_run:
            on_run(one.name)
        one.advance(data, batches)
    if on_progress:
        on_progress(stop)


def first_step_out(
    runners: list[Runner],
    data: Any,
    orders: np.ndarray,
    done: int,
    stop: int,
    oneself: str,
    dtype: str,
    seen: dict[str, float],
    activations: bool,
) -> list[dict[str, Any]]:
    """The records of the first step after `done` at which a tensor is out of its envelope, that tensor marked."""
    found: list[dict[str, Any]] = []
    for step in range(done + 1, stop + 1):
        advance(runners, data, orders, step - 1, step)
        found = compare(tensors_of(runners, data, activations), oneself, dtype, step, seen)
        out = [one for one in found if not is_within(one)]
        if out:
            max(out, key=share)["first_out"] = True
            break
    return found


def tensors_of(runners: list[Runner], data: Any, activations: bool) -> dict[str, Weights]:
    return {one.name: one.tensors(data, activations) for one in runners}


def compare(
    tensors: dict[str, Weights], oneself: str, dtype: str, step: int, seen: dict[str, float]
) -> list[dict[str, Any]]:
    """Distances after `step`. The yardstick of a tensor is the furthest that its perturbed self has been so far."""
    others = {name: found for name, found in tensors.items() if name != PERTURBED}
    perturbed = tensors[PERTURBED]
    for tensor in perturbed:
        now = distance(perturbed[tensor], others[oneself][tensor])
        seen[tensor] = max(seen.get(tensor, 0.0), now, FLOOR * float(np.finfo(dtype).eps) / 2)
    return [
        {
            "a": a,
            "b": b,
            "dtype": dtype,
            "steps": step,
            "tensor": tensor,
            "distance": distance(others[a][tensor], others[b][tensor]),
            "self_distance": seen[tensor],
            "self": oneself,
            "allowed": ALLOWED,
            "last": False,
            "first_out": False,
        }
        for a, b in combinations(others, 2)
        for tensor in perturbed
    ]


def mark_last(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for one in records:
        one["last"] = one["steps"] == records[-1]["steps"]
    return records


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """||a - b|| / ||b|| in the Euclidean norm."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    norm = float(np.linalg.norm(b))
    return float(np.linalg.norm(a - b)) / norm if norm > 0 else float(np.linalg.norm(a - b))


def share(record: dict[str, Any]) -> float:
    """How much of what is allowed a distance takes; NaN is worse than any number."""
    found = record["distance"] / (record["allowed"] * record["self_distance"])
    return math.inf if math.isnan(found) else found


def is_within(record: dict[str, Any]) -> bool:
    return record["distance"] <= record["allowed"] * record["self_distance"]
