"""Several seeds of one framework trained as one program, where it can do that: JAX, by `vmap`.

One checkpoint holds all of them, so that they continue together, and end bit for bit as if never interrupted.
"""

from __future__ import annotations

import numpy as np

from harness.train.checkpoint import Checkpoint
from harness.train.fashion_mnist import FashionMnist
from harness.train.implementations import Trained, resolve_device, seeds_module, trained
from harness.train.options import NO_PROGRESS, TrainingOptions, TrainingProgress
from harness.train.recipe import BATCH_SIZE, LEARNING_RATE
from harness.train.results import EpochRecord, TrainingResult
from harness.train.trainings import Keep, ToTrain, complete
from reference.conventions import TrainingSettings


def run_together(
    data: FashionMnist,
    options: TrainingOptions,
    seeds: tuple[int, ...],
    progress: TrainingProgress = NO_PROGRESS,
) -> tuple[TrainingResult, ...]:
    """What `trainings.run` returns for each of `seeds` in place of the options' own.

    The seconds of a record are the seed's share of an epoch of all. progress: counts the examples of all seeds, and
    hears of the first seed's epochs.
    """
    job = ToTrain(data, options, seeds, resolve_device(options.implementation, options.device))

    def train(checkpoint: Checkpoint, keep: Keep) -> tuple[Trained, ...]:
        done = len(checkpoint.history)
        returned = seeds_module(options.implementation).train_seeds(
            data,
            list(checkpoint.weights),
            np.stack([job.orders(seed)[done:] for seed in seeds]),  # (seeds, epochs, examples)
            TrainingSettings(
                LEARNING_RATE,
                BATCH_SIZE,
                options.dtype,
                job.device,
                first_epoch=done + 1,
                on_progress=progress.on_progress,
                on_epoch=lambda records, weights: keep(
                    tuple(EpochRecord(**record) for record in records), tuple(weights)
                ),
            ),
        )
        return tuple(trained(of_seed) for of_seed in returned)

    return complete(job, train, progress)
