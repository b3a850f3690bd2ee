"""The frameworks trained from the same start over the same batches: how far apart do they get, step by step?

Where a tensor is further out than the yardstick of `distances.py` allows, the run stops, and the steps since the last
comparison are made again one by one, so that the first step and tensor can be named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harness.train.distances import PERTURBED, Yardstick, one_ulp_off
from harness.train.fashion_mnist import FashionMnist
from harness.train.implementations import (
    lockstep_function,
    readable_module,
    resolve_device,
    trained,
    training_module,
)
from harness.train.options import NO_LOCKSTEP_PROGRESS, LockstepOptions, LockstepProgress
from harness.train.recipe import BATCH_SIZE, LEARNING_RATE, batch_orders
from harness.train.results import LockstepRecord
from reference.conventions import TrainingSettings
from reference.lenet import Weights, initial_weights

PREFERRED_YARDSTICK = "torch"
TEST_IMAGES = 256  # a training evaluates after every chunk; nothing of that is used here
CANCELLED = ("conv1.bias", "conv2.bias", "dense1.bias", "dense2.bias")
"""Batch norm subtracts the mean, and these with it: their gradients are rounding alone, and have no relative size."""


def comparison_steps(steps: int, per_epoch: int) -> list[int]:
    """After how many steps tensors are compared: 1, 2, 4, ... in the first epoch, then after every epoch."""
    in_first_epoch = [2**power for power in range(12) if 2**power < min(per_epoch, steps)]
    return [*in_first_epoch, *range(per_epoch, steps, per_epoch), steps]


@dataclass
class Runner:
    """One training that advances chunk by chunk, by its module's `train` and `inspect`: weights in, weights out."""

    name: str
    weights: Weights
    train: Callable[..., dict[str, Any]]
    inspect: Callable[..., tuple[Weights, Weights]]
    dtype: str
    device: str
    further: dict[str, Any]
    """What `train` and `inspect` take besides: the norm."""

    def advance(self, data: FashionMnist, batches: np.ndarray) -> None:
        """batches: (n,) indices, consecutive batches of one epoch."""
        settings = TrainingSettings(LEARNING_RATE, BATCH_SIZE, self.dtype, self.device)
        returned = self.train(data, self.weights, batches[None], settings, **self.further)
        self.weights = trained(returned).weights

    def tensors(self, data: FashionMnist, activations: bool) -> Weights:
        """Weights, moving statistics, and what they give on the first batch of the data in its own order."""
        images, labels = data.train_images[:BATCH_SIZE], data.train_labels[:BATCH_SIZE]
        gradients, passed_on = self.inspect(
            self.weights, images, labels, dtype=self.dtype, device=self.device, **self.further
        )
        tensors = self.weights | {f"gradient of {name}": g for name, g in gradients.items() if name not in CANCELLED}
        if activations:
            tensors |= {f"activation of {name}": array for name, array in passed_on.items()}
        return tensors


def lockstep(
    data: FashionMnist, options: LockstepOptions, progress: LockstepProgress = NO_LOCKSTEP_PROGRESS
) -> tuple[LockstepRecord, ...]:
    """Distances ||a - b|| / ||b|| of every tensor, pair by pair, after each of `comparison_steps`.

    Tensors: parameters and moving statistics by name; "gradient of NAME" and, if asked for, "activation of LAYER",
    both of the first BATCH_SIZE training images in training mode. `last` marks the records of the last step that was
    compared, `first_out` the first tensor that was further apart than allowed. Where `options.bn` puts a target into
    the network the run never stops early.
    """
    return Lockstep(data, options, progress).run()


class Lockstep:
    """One comparison: the trainings, how far they have got, and the yardstick."""

    def __init__(self, data: FashionMnist, options: LockstepOptions, progress: LockstepProgress) -> None:
        few = slice(TEST_IMAGES)
        self.data = replace(data, test_images=data.test_images[few], test_labels=data.test_labels[few])
        self.options, self.progress = options, progress
        self.runners = make_runners(options)
        self.yardstick = Yardstick(yardstick_framework(options), options.dtype)
        self.per_epoch = -(-len(data.train_images) // BATCH_SIZE)
        epochs = -(-options.steps // self.per_epoch)
        self.orders = batch_orders(len(data.train_images), epochs, options.seed)  # (epochs, examples)

    def run(self) -> tuple[LockstepRecord, ...]:
        records: tuple[LockstepRecord, ...] = ()
        done = 0
        for stop in comparison_steps(self.options.steps, self.per_epoch):
            before = [runner.weights for runner in self.runners]
            self.advance(done, stop)
            self.progress.on_progress(stop)
            compared = self.compare(stop)
            if not self.options.bn and not all(record.is_within for record in compared):
                for runner, weights in zip(self.runners, before, strict=True):
                    runner.weights = weights
                return mark_last(records + self.first_step_out(done, stop))
            records += compared
            done = stop
        return mark_last(records)

    def advance(self, done: int, stop: int) -> None:
        """Each runner from step `done` to `stop`, which lie in one epoch."""
        epoch, first = divmod(done, self.per_epoch)
        batches = self.orders[epoch, first * BATCH_SIZE : (first + stop - done) * BATCH_SIZE]
        for runner in self.runners:
            self.progress.on_run(runner.name)
            runner.advance(self.data, batches)

    def compare(self, steps: int) -> tuple[LockstepRecord, ...]:
        tensors = {runner.name: runner.tensors(self.data, self.options.activations) for runner in self.runners}
        return self.yardstick.compare(tensors, steps)

    def first_step_out(self, done: int, stop: int) -> tuple[LockstepRecord, ...]:
        """The records of the first step after `done` at which a tensor is too far out, the furthest one marked."""
        compared: tuple[LockstepRecord, ...] = ()
        for step in range(done + 1, stop + 1):
            self.advance(step - 1, step)
            compared = self.compare(step)
            out = [record for record in compared if not record.is_within]
            if out:
                furthest = max(out, key=lambda record: record.share)
                return tuple(replace(r, first_out=True) if r is furthest else r for r in compared)
        return compared


def yardstick_framework(options: LockstepOptions) -> str:
    """Which framework is trained once more from a perturbed start."""
    if options.bn:
        return "numpy"
    names = options.implementations
    return PREFERRED_YARDSTICK if PREFERRED_YARDSTICK in names else names[0]


def make_runners(options: LockstepOptions) -> list[Runner]:
    start = initial_weights(options.seed)

    def runner(implementation: str, name: str, weights: Weights, replicas: int = 1, **further: Any) -> Runner:
        device = resolve_device(implementation, options.device)
        if options.bn:
            readable = readable_module()
            return Runner(name, weights, readable.train, readable.inspect, options.dtype, device, further)
        inspect = training_module(implementation).inspect
        train = lockstep_function(implementation, replicas)
        return Runner(name, weights, train, inspect, options.dtype, device, further)

    names = ("numpy",) if options.bn else options.implementations
    runners = [runner(name, name, start) for name in names]
    if options.replicas > 1:
        of_many = f"over {options.replicas} replicas"
        runners += [runner(name, f"{name} {of_many}", start, options.replicas) for name in names]
    if options.bn:
        from harness.train.target_norm import target_norm

        runners.append(runner("numpy", f"numpy with {options.bn}", start, norm=target_norm(options.bn)))
    perturbed = one_ulp_off(start, options.dtype, options.seed)
    return [*runners, runner(yardstick_framework(options), PERTURBED, perturbed)]


def mark_last(records: Iterable[LockstepRecord]) -> tuple[LockstepRecord, ...]:
    """The records, with those of the greatest step marked."""
    records = tuple(records)
    last = max((record.steps for record in records), default=0)
    return tuple(replace(record, last=record.steps == last) for record in records)
