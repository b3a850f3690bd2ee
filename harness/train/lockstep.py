"""The frameworks trained from the same start over the same batches: how far apart do they get, step by step?

Where a tensor is further out than the yardstick of `distances.py` allows, the run stops, and the steps since the last
comparison are made again one by one, so that the first step and tensor can be named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from harness.train.distances import CANCELLED, TrainingYardstick
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
from harness.train.relabelled import Relabelling, relabelling
from harness.train.results import LockstepRecord
from reference.conventions import TrainingSettings
from reference.lenet import Weights, initial_weights

TWINS = 2
"""How often each framework is trained relabelled: one may by chance be near where the rounding is not."""
TEST_IMAGES = 1  # a training evaluates after every chunk; nothing of that is used here


def comparison_steps(steps: int, per_epoch: int) -> list[int]:
    """After how many steps tensors are compared: 1, 2, 4, ... in the first epoch, then after every epoch."""
    in_first_epoch = [2**power for power in range(12) if 2**power < min(per_epoch, steps)]
    return [*in_first_epoch, *range(per_epoch, steps, per_epoch), steps]


@dataclass
class Runner:
    """One training that advances chunk by chunk, by its module's `train` and `inspect`: weights in, weights out."""

    name: str
    weights: Weights
    data: FashionMnist
    train: Callable[..., dict[str, Any]]
    inspect: Callable[..., tuple[Weights, Weights]]
    dtype: str
    device: str
    further: dict[str, Any]
    """What `train` and `inspect` take besides: the norm."""

    def advance(self, batches: np.ndarray, first: int) -> None:  # noqa: ARG002 - a twin asks which they are
        """batches: (n,) indices, consecutive batches of one epoch, of which the `first` before were made."""
        settings = TrainingSettings(LEARNING_RATE, BATCH_SIZE, self.dtype, self.device)
        returned = self.train(self.data, self.weights, batches[None], settings, **self.further)
        self.weights = trained(returned).weights

    def tensors(self, activations: bool) -> Weights:
        """Weights, moving statistics, and what they give on the first batch of the data in its own order."""
        gradients, passed_on = self.inspected(slice(BATCH_SIZE))
        return self.weights | named(gradients, passed_on if activations else {})

    def inspected(self, examples: slice | np.ndarray) -> tuple[Weights, Weights]:
        images, labels = self.data.train_images[examples], self.data.train_labels[examples]
        return self.inspect(self.weights, images, labels, dtype=self.dtype, device=self.device, **self.further)


@dataclass
class Twin(Runner):
    """A training of relabelled data from relabelled weights, whose tensors are given under their old labels."""

    relabelling: Relabelling

    def advance(self, batches: np.ndarray, first: int) -> None:
        super().advance(self.relabelling.batches(batches, first), first)

    def tensors(self, activations: bool) -> Weights:
        gradients, passed_on = self.inspected(self.relabelling.order(min(BATCH_SIZE, len(self.data.train_labels))))
        back = self.relabelling.inverse()
        passed_on = self.relabelling.activations_back(passed_on) if activations else {}
        return back.tensors(self.weights) | named(back.tensors(gradients), passed_on)


def named(gradients: Weights, activations: Weights) -> Weights:
    """By the names of records."""
    compared = {f"gradient of {name}": array for name, array in gradients.items() if name not in CANCELLED}
    return compared | {f"activation of {name}": array for name, array in activations.items()}


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
        data = replace(data, test_images=data.test_images[few], test_labels=data.test_labels[few])
        self.options, self.progress = options, progress
        self.runners = make_runners(options, data)
        self.yardstick = TrainingYardstick(options.dtype, {name: twins_of(name) for name in frameworks(options)})
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
            runner.advance(batches, done)

    def compare(self, steps: int) -> tuple[LockstepRecord, ...]:
        tensors = {runner.name: runner.tensors(self.options.activations) for runner in self.runners}
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


def frameworks(options: LockstepOptions) -> tuple[str, ...]:
    """Those that are trained relabelled as well."""
    return ("numpy",) if options.bn else options.implementations


def twins_of(name: str) -> tuple[str, ...]:
    return tuple(f"{name} relabelled, {number}" for number in range(TWINS))


def make_runners(options: LockstepOptions, data: FashionMnist) -> list[Runner]:
    start = initial_weights(options.seed)

    def parts(implementation: str, replicas: int = 1, **further: Any) -> dict[str, Any]:
        """What a runner and its twins have in common."""
        device = resolve_device(implementation, options.device)
        module = readable_module() if options.bn else training_module(implementation)
        train = module.train if options.bn else lockstep_function(implementation, replicas)
        return {
            "train": train, "inspect": module.inspect, "dtype": options.dtype, "device": device, "further": further
        }  # fmt: skip

    @cache
    def relabelled(number: int) -> tuple[Relabelling, FashionMnist]:
        labels = relabelling(options.seed, number)
        return labels, labels.data(data)

    def twin(implementation: str, number: int) -> Twin:
        labels, its_data = relabelled(number)
        name = twins_of(implementation)[number]
        return Twin(name, labels.tensors(start), its_data, **parts(implementation), relabelling=labels)

    names = frameworks(options)
    runners = [Runner(name, start, data, **parts(name)) for name in names]
    if options.replicas > 1:
        of_many = f"over {options.replicas} replicas"
        runners += [Runner(f"{name} {of_many}", start, data, **parts(name, options.replicas)) for name in names]
    if options.bn:
        from harness.train.target_norm import target_norm

        runners.append(Runner(f"numpy with {options.bn}", start, data, **parts("numpy", norm=target_norm(options.bn))))
    return [*runners, *(twin(name, number) for name in names for number in range(TWINS))]


def mark_last(records: Iterable[LockstepRecord]) -> tuple[LockstepRecord, ...]:
    """The records, with those of the greatest step marked."""
    records = tuple(records)
    last = max((record.steps for record in records), default=0)
    return tuple(replace(record, last=record.steps == last) for record in records)
