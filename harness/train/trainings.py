"""A training: the same data, start and batch order for each framework. Interrupted, it continues at its last epoch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from harness.errors import UsageError
from harness.train.checkpoint import Checkpoint, CheckpointFile
from harness.train.fashion_mnist import FashionMnist
from harness.train.implementations import Trained, resolve_device, train_function, trained
from harness.train.options import NO_PROGRESS, TrainingOptions, TrainingProgress
from harness.train.recipe import BATCH_SIZE, LEARNING_RATE, batch_orders, recipe_of
from harness.train.results import EpochRecord, TrainingResult
from reference.conventions import TrainingSettings
from reference.lenet import Weights, initial_weights

Keep = Callable[[tuple[EpochRecord, ...], tuple[Weights, ...]], None]
"""Called after each epoch with the records and the weights, seed by seed."""
Train = Callable[[Checkpoint, Keep], tuple[Trained, ...]]
"""Trains on from a checkpoint to the last epoch; what it returns is seed by seed."""


@dataclass(frozen=True)
class ToTrain:
    """What is to be trained: one seed, or several together."""

    data: FashionMnist
    options: TrainingOptions
    seeds: tuple[int, ...]
    device: str
    """ "cpu" or "cuda", what `options.device` came to."""

    @property
    def examples(self) -> int:
        return len(self.data.train_images)

    def file(self) -> CheckpointFile:
        path = checkpoint_path(self.options, self.seeds)
        return CheckpointFile(path, recipe_of(self.options, self.seeds, self.device, self.data))

    def start(self) -> Checkpoint:
        return Checkpoint((), tuple(initial_weights(seed) for seed in self.seeds), self.device, self.options.dtype)

    def orders(self, seed: int) -> np.ndarray:
        """(epochs, examples)"""
        return batch_orders(self.examples, self.options.epochs, seed)


def checkpoint_path(options: TrainingOptions, seeds: tuple[int, ...]) -> Path | None:
    """Where a training of these seeds, together if several, keeps its checkpoint; None where it keeps none."""
    if options.resume is None:
        return None
    which = f"seed{seeds[0]}" if len(seeds) == 1 else f"seeds{'-'.join(map(str, seeds))}"
    over = f"-{options.replicas}-replicas" if options.replicas > 1 else ""
    return options.resume / f"{options.implementation}-{which}{over}.npz"


def run(data: FashionMnist, options: TrainingOptions, progress: TrainingProgress = NO_PROGRESS) -> TrainingResult:
    """Train one implementation from the initial weights of its seed. Raises UsageError, or kinds of it."""
    train_by = train_function(options.implementation, options.replicas)
    job = ToTrain(data, options, (options.seed,), resolve_device(options.implementation, options.device))

    def train(checkpoint: Checkpoint, keep: Keep) -> tuple[Trained, ...]:
        done = len(checkpoint.history)
        returned = train_by(
            data,
            checkpoint.weights[0],
            job.orders(options.seed)[done:],
            TrainingSettings(
                LEARNING_RATE,
                BATCH_SIZE,
                options.dtype,
                job.device,
                first_epoch=done + 1,
                on_progress=progress.on_progress,
                on_epoch=lambda record, weights: keep((EpochRecord(**record),), (weights,)),
            ),
            **({"compiled": True} if options.compiled and options.implementation == "torch" else {}),
        )
        return (trained(returned),)

    (result,) = complete(job, train, progress)
    return result


def complete(job: ToTrain, train: Train, progress: TrainingProgress) -> tuple[TrainingResult, ...]:
    """The results of a job, seed by seed, whether it starts, continues, or was finished before."""
    file = job.file()
    checkpoint = resume(file, job.start(), job.options.epochs, train, progress.on_epoch)
    if job.options.population and checkpoint.population_test_accuracy is None:
        from harness.train.population import population_test_accuracy

        accuracies = tuple(population_test_accuracy(weights, job.data) for weights in checkpoint.weights)
        checkpoint = replace(checkpoint, population_test_accuracy=accuracies)
    file.save(checkpoint)
    return tuple(result_of(job, checkpoint, k) for k in range(len(job.seeds)))


def resume(
    file: CheckpointFile, start: Checkpoint, epochs: int, train: Train, on_epoch: Callable[[EpochRecord], None]
) -> Checkpoint:
    """The checkpoint after `epochs`: what `file` holds, or `start`, trained on to there and kept after every epoch.

    on_epoch: called with the first seed's record. Raises UsageError where the file holds more epochs than that.
    """
    checkpoint = file.load() or start
    done = len(checkpoint.history)
    if done > epochs:
        raise UsageError(f"{file.path} holds {done} epochs, more than the {epochs} asked for")
    if done == epochs:
        return checkpoint
    history = list(checkpoint.history)

    def keep(records: tuple[EpochRecord, ...], weights: tuple[Weights, ...]) -> None:
        history.append(records)
        file.save(replace(start, history=tuple(history), weights=weights))
        on_epoch(records[0])

    by_seed = train(checkpoint, keep)
    return Checkpoint(
        tuple(history),
        tuple(seed.weights for seed in by_seed),
        device=by_seed[0].device,
        dtype=by_seed[0].dtype,
        compile_seconds=by_seed[0].compile_seconds,
        step=by_seed[0].step,
    )


def result_of(job: ToTrain, checkpoint: Checkpoint, k: int) -> TrainingResult:
    """The figures of seed k, those that the tutorial prints among them."""
    history = tuple(records[k] for records in checkpoint.history)
    last, examples = history[-1], job.examples * len(history)
    weights, accuracies = checkpoint.weights[k], checkpoint.population_test_accuracy
    return TrainingResult(
        implementation=job.options.implementation,
        seed=job.seeds[k],
        device=checkpoint.device,
        dtype=checkpoint.dtype,
        epochs=len(history),
        examples=job.examples,
        loss=last.loss,
        train_accuracy=last.train_accuracy,
        test_accuracy=last.test_accuracy,
        step_examples_per_second=examples / sum(record.step_seconds for record in history),
        examples_per_second=examples / sum(record.seconds for record in history),
        compile_seconds=checkpoint.compile_seconds,
        gamma=tuple(np.asarray(weights["bn1.gamma"], np.float64).tolist()),
        beta=tuple(np.asarray(weights["bn1.beta"], np.float64).tolist()),
        history=history,
        step=checkpoint.step,
        population_test_accuracy=accuracies[k] if accuracies else None,
        is_sample=job.data.is_sample,
    )
