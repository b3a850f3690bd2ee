"""A piece of work and what comes of it: plain data, since both travel between processes."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness.errors import UsageError

Tell = Callable[[float, str], None]
"""Called by a job with the share of its work that is done, 0 to 1, and a word on what it does now.

It may raise Unwanted: a job that calls it often ends soon after nobody waits for its result any more.
"""

RETRIES = 3
"""How often a job is tried again after the death of the process that did it. Dask's own default is the same."""


class JobError(Exception):
    """A job that failed where its result cannot be done without."""


class Unwanted(BaseException):
    """Nobody waits for the result of this job any more."""


@dataclass(frozen=True)
class Job:
    """`run(argument, tell)`, where `run` is a function of a module and `argument` can be pickled.

    With something large that many jobs share, `run(argument, shared, tell)`: a machine of a cluster gets it once.
    """

    run: Callable[..., Any]
    argument: Any
    shared: Any = None


@dataclass(frozen=True)
class JobFailure:
    """In place of the result of a job that raised, or whose processes died again and again."""

    reason: str
    """On one line."""
    traceback: str = ""
    """Of what the job itself raised, for people."""
    is_usage: bool = False
    """Whether it is something that the user can mend."""


def attempt(job: Job, tell: Tell) -> Any:
    """The result of a job, or a Failure."""
    try:
        return job.run(job.argument, tell) if job.shared is None else job.run(job.argument, job.shared, tell)
    except UsageError as error:
        return JobFailure(str(error), is_usage=True)
    except Exception as error:
        return failure_of(error)


def failure_of(error: Exception) -> JobFailure:
    message = " ".join(str(error).split())
    return JobFailure(f"{type(error).__name__}: {message}", "".join(traceback.format_exception(error)))


def died_too_often(deaths: int, how: str) -> JobFailure:
    return JobFailure(f"the process that did it died {deaths} times, the last time {how}")


def result_of(outcome: Any) -> Any:
    """The outcome of a job that must not fail. Raises UsageError or JobError."""
    if not isinstance(outcome, JobFailure):
        return outcome
    raise UsageError(outcome.reason) if outcome.is_usage else JobError(outcome.traceback or outcome.reason)
