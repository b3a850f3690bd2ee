"""Targets side by side: each is checked by a job of its own, on this machine or elsewhere."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.check import CheckOptions, check_target, opened
from harness.cli.jobs import done_behind_a_bar, show_failure
from harness.jobs.engines import Workers, open_engine
from harness.jobs.job import Job, JobFailure, Tell
from harness.judge.report import TargetReport
from harness.targets.built_in import BUILT_IN
from harness.targets.built_in_kind import EXEC
from harness.targets.device import on_device, split_device


@dataclass(frozen=True)
class CheckJob:
    """One target. `options` has no callbacks: they would not travel."""

    target: str
    options: CheckOptions
    where: str
    """The target where it is played: as `target`, but a file by its whole path."""


def check_side_by_side(
    targets: Sequence[str], options: CheckOptions, workers: Workers
) -> Generator[TargetReport, None, None]:
    """One report a target, in the order given. What cannot be done at all is the report of its target."""
    options = replace(options, on_plan=None, on_case=None)
    jobs = [Job(checked, CheckJob(target, options, located(target, workers))) for target in targets]
    with open_engine(workers) as engine, contextlib.closing(done_behind_a_bar("check", engine, jobs)) as outcomes:
        for target, outcome in zip(targets, outcomes, strict=True):
            yield outcome if isinstance(outcome, TargetReport) else not_checked(target, options.layer, outcome)


def located(target: str, workers: Workers) -> str:
    """On other machines there is no working directory of ours."""
    name, device = split_device(target)
    path = Path(name.rpartition(":")[0])
    if workers.scheduler is None or name in BUILT_IN or name.startswith(EXEC) or path.suffix != ".py":
        return target
    return on_device(f"{path.absolute()}:{name.rpartition(':')[2]}", device)


def checked(job: CheckJob, tell: Tell) -> TargetReport:
    """Its report without the arrays, which would cost more to send than to make."""
    options = job.options
    with opened(job.where, options) as player:
        report = check_target(player, telling(options, tell))
    name = on_device(*split_device(job.target), options.layer)
    error = report.load_error and report.load_error.replace(file_of(job.where), file_of(job.target))
    return replace(report, target=name, load_error=error, played=[])


def file_of(target: str) -> str:
    return target.rpartition(":")[0]


def telling(options: CheckOptions, tell: Tell) -> CheckOptions:
    """The options, with callbacks that tell how far the suite has got."""
    total = done = 0

    def on_plan(name: str, cases: int) -> None:
        nonlocal total
        total = cases
        tell(0.0, name)

    def on_case(name: str, case: str) -> None:
        nonlocal done
        tell(done / total, f"{name}: {case}")
        done += 1

    return replace(options, on_plan=on_plan, on_case=on_case)


def not_checked(target: str, layer: str, failure: JobFailure) -> TargetReport:
    """The report of a target whose job failed."""
    name = on_device(*split_device(target), layer)
    show_failure(name, failure)
    return TargetReport(name, load_error=f"target {name!r} was not checked: {failure.reason}")
