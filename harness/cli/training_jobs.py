"""Trainings side by side: a job for each seed, or for all seeds that may be trained as one program."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from harness.cli import show_runs
from harness.cli.jobs import done_behind_a_bar, show_failure
from harness.errors import UsageError
from harness.jobs.engines import Workers, open_engine
from harness.jobs.job import Job, JobFailure, Tell
from harness.train.fashion_mnist import FashionMnist
from harness.train.options import TrainingOptions, TrainingProgress
from harness.train.results import EpochRecord, TrainingResult
from harness.train.seeds import of_this_machine, run_together, together
from harness.train.trainings import run


@dataclass(frozen=True)
class TrainingJob:
    options: TrainingOptions
    seeds: tuple[int, ...]
    """Several are trained together, if whoever does the job has a GPU."""

    @property
    def title(self) -> str:
        return f"{self.options.implementation}, seed {', '.join(map(str, self.seeds))}"


def train_side_by_side(
    data: FashionMnist, runs: Sequence[TrainingOptions], seeds: int, workers: Workers
) -> Iterator[tuple[TrainingResult, ...]]:
    """For each of `runs`, in order, `seeds` trainings from its seed on.

    A training that fails does not end the others; in the end it is a UsageError.
    """
    runs = [options if workers.scheduler else of_this_machine(options) for options in runs]
    jobs = [jobs_of(options, seeds) for options in runs]
    every = [Job(train, job, data) for of_one in jobs for job in of_one]
    failed: list[str] = []
    with (
        open_engine(workers) as engine,
        contextlib.closing(done_behind_a_bar("trainings", engine, every)) as outcomes,
    ):
        for of_one in jobs:
            results: list[TrainingResult] = []
            for job in of_one:
                outcome = next(outcomes)
                if isinstance(outcome, JobFailure):
                    show_failure(job.title, outcome)
                    failed.append(job.title)
                    continue
                for result in outcome:
                    show_runs.training(result)
                    results.append(result)
            if not failed:
                yield tuple(results)
    if failed:
        raise UsageError(f"trainings that failed: {'; '.join(failed)}")


def jobs_of(options: TrainingOptions, seeds: int) -> list[TrainingJob]:
    """A folder to resume from is named by its whole path: a job may be done in another working directory."""
    options = replace(options, resume=options.resume and options.resume.absolute())
    each = tuple(range(options.seed, options.seed + seeds))
    if together(options, each):
        return [TrainingJob(options, each)]
    return [TrainingJob(replace(options, seed=seed), (seed,)) for seed in each]


def train(job: TrainingJob, data: FashionMnist, tell: Tell) -> tuple[TrainingResult, ...]:
    options, text = of_this_machine(job.options), job.title
    of_one = options.epochs * len(data.train_images)

    def on_epoch(record: EpochRecord) -> None:
        nonlocal text
        text = f"{job.title}: epoch {record.epoch}"

    def progress_after(seeds: int) -> TrainingProgress:
        return TrainingProgress(lambda done: tell((seeds * of_one + done) / (len(job.seeds) * of_one), text), on_epoch)

    if together(options, job.seeds):
        return run_together(data, options, job.seeds, progress_after(0))
    return tuple(
        run(data, replace(options, seed=seed), progress_after(before)) for before, seed in enumerate(job.seeds)
    )
