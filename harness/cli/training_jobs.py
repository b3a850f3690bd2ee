"""Trainings side by side: a job for each seed, or for all seeds of a framework that trains them as one program."""

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
from harness.train.implementations import SEEDS_MODULES
from harness.train.options import TrainingOptions, TrainingProgress
from harness.train.results import EpochRecord, TrainingResult


@dataclass(frozen=True)
class TrainingJob:
    options: TrainingOptions
    seeds: tuple[int, ...]
    """More than one are trained together."""

    @property
    def title(self) -> str:
        return f"{self.options.implementation}, seed {', '.join(map(str, self.seeds))}"


def train_side_by_side(
    data: FashionMnist, runs: Sequence[TrainingOptions], seeds: int, workers: Workers
) -> Iterator[tuple[TrainingResult, ...]]:
    """For each of `runs`, in order, `seeds` trainings from its seed on.

    A training that fails does not end the others; in the end it is a UsageError.
    """
    jobs = [job for options in runs for job in jobs_of(options, seeds)]
    failed: list[str] = []
    with (
        open_engine(workers) as engine,
        contextlib.closing(done_behind_a_bar("trainings", engine, [Job(train, job, data) for job in jobs])) as outcomes,
    ):
        for options in runs:
            results: list[TrainingResult] = []
            for job in jobs_of(options, seeds):
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
    if seeds > 1 and options.implementation in SEEDS_MODULES and options.replicas == 1:
        return [TrainingJob(options, each)]
    return [TrainingJob(replace(options, seed=seed), (seed,)) for seed in each]


def train(job: TrainingJob, data: FashionMnist, tell: Tell) -> tuple[TrainingResult, ...]:
    from harness.train.seeds import run_together
    from harness.train.trainings import run

    examples = job.options.epochs * len(job.seeds) * len(data.train_images)
    text = job.title

    def on_epoch(record: EpochRecord) -> None:
        nonlocal text
        text = f"{job.title}: epoch {record.epoch}"

    progress = TrainingProgress(lambda done: tell(done / examples, text), on_epoch)
    if len(job.seeds) > 1:
        return run_together(data, job.options, job.seeds, progress)
    return (run(data, job.options, progress),)
