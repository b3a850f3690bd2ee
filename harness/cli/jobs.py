"""Jobs behind a progress bar, and failures of theirs in words."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from harness.cli.output import bar, err
from harness.jobs.engines import Engine
from harness.jobs.job import Job, JobFailure


def done_behind_a_bar(title: str, engine: Engine, jobs: Sequence[Job]) -> Generator[Any, None, None]:
    """The outcome of each job, in order. The bar counts jobs, and says what one that is under way does."""
    with bar(title, len(jobs)) as update:

        def show(done: float, text: str) -> None:
            update(completed=done, description=f"{title}: {text}" if text else None)

        yield from engine.in_order(jobs, show)


def show_failure(title: str, failure: JobFailure) -> None:
    """On stderr, the traceback of what a job raised included: it is a fault of this program."""
    err.print(f"{title}: {failure.reason}", style="red", markup=False, soft_wrap=True)
    if failure.traceback:
        err.print(failure.traceback, style="dim", markup=False, soft_wrap=True, highlight=False)
