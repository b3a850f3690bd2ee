"""The three ways in which jobs are done. Each yields the outcomes in the order of the jobs, whatever ends first."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from harness.errors import UsageError
from harness.jobs.job import Job, attempt
from harness.jobs.progress import OnProgress, Progress, ignore


@dataclass(frozen=True)
class Workers:
    """Who does the jobs."""

    processes: int = 1
    """On this machine."""
    scheduler: str | None = None
    """The address of a Dask scheduler, "tcp://host:port", whose workers do them instead."""


IN_TURN = Workers()
"""One job after another."""


class Engine(Protocol):
    def in_order(self, jobs: Iterable[Job], on_progress: OnProgress = ignore) -> Generator[Any, None, None]:
        """The outcome of each job, its result or a Failure, in the order of the jobs, which may be without end.

        What is under way when the generator is closed is broken off.
        """


@contextlib.contextmanager
def open_engine(workers: Workers) -> Iterator[Engine]:
    """What does the jobs, ready to begin. Nothing that it started is left when the context ends.

    Raises UsageError where there is no such scheduler, or where its workers cannot do our work.
    """
    if workers.scheduler is not None:
        from harness.jobs.cluster import open_cluster

        with open_cluster(workers.scheduler) as cluster:
            yield cluster
    elif workers.processes > 1:
        from harness.jobs.processes import Processes

        with contextlib.closing(Processes(workers.processes)) as processes:
            yield processes
    else:
        yield InTurn()


class InTurn:
    """One job after another, in this process."""

    def in_order(self, jobs: Iterable[Job], on_progress: OnProgress = ignore) -> Generator[Any, None, None]:
        progress = Progress(on_progress)
        for number, job in enumerate(jobs):
            outcome = attempt(job, partial(progress.tell, number))
            progress.finish(number)
            yield outcome


def workers_of(jobs: int | None, scheduler: str | None, usual: int = 1) -> Workers:
    """What `--jobs` and `--on` ask for. Raises UsageError where both are given."""
    if jobs is not None and scheduler is not None:
        raise UsageError("--jobs is about this machine; with --on the cluster's workers decide how many there are")
    return Workers(jobs or usual, scheduler)
