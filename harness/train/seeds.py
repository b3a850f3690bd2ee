"""Several seeds of one framework: which are trained as one program, and that. JAX can, by `vmap`.

On a GPU they are. On a CPU one after the other is faster: two cores of an AMD EPYC trained 16,800 examples/s together
and 39,100 one by one, one core 22,600.
One checkpoint holds all that are together, so that they continue so, and end bit for bit as if never interrupted.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from harness.train.checkpoint import Checkpoint
from harness.train.fashion_mnist import FashionMnist
from harness.train.implementations import SEEDS_MODULES, Trained, resolve_device, seeds_module, trained
from harness.train.options import NO_PROGRESS, TrainingOptions, TrainingProgress
from harness.train.recipe import BATCH_SIZE, LEARNING_RATE
from harness.train.results import EpochRecord, TrainingResult
from harness.train.trainings import Keep, ToTrain, checkpoint_path, complete
from reference.conventions import TrainingSettings


def together(options: TrainingOptions, seeds: tuple[int, ...]) -> bool:
    """Whether these seeds are trained as one program: on a GPU, or where they have begun so, as they once did on a CPU.

    Of a device that is not known yet ("auto") so too: whoever trains them asks again, `of_this_machine`.
    """
    if len(seeds) == 1 or options.implementation not in SEEDS_MODULES or options.replicas > 1:
        return False
    begun = checkpoint_path(options, seeds)
    return options.device != "cpu" or (begun is not None and begun.exists())


def of_this_machine(options: TrainingOptions) -> TrainingOptions:
    """With the device that "auto" is here. Raises DeviceError."""
    return replace(options, device=resolve_device(options.implementation, options.device))


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
