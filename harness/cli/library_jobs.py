"""The jobs of the matrix: a library is judged, or a snippet run, wherever an environment for it is or can be made."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

from harness.cases.catalogue import suite
from harness.check import CheckOptions, check_target, opened
from harness.cli.check_jobs import not_checked, telling
from harness.cli.places import WhereToJudge, place_of
from harness.cli.snippets import SNIPPETS, run_snippet
from harness.jobs.job import JobFailure, Tell
from harness.judge.report import PlayedCase, TargetReport
from harness.probe.probe import Probed, probe
from harness.record.kinds import LibraryFinding
from harness.targets.built_in import CUDA_ONLY
from harness.targets.device import CPU, CUDA, on_device, split_device


@dataclass(frozen=True)
class LibraryJob:
    target: str
    suite: str
    seed: int
    only_here: bool
    """Whether nothing is installed for it."""
    resume: Path | None = None
    plays_only: bool = False
    """Whether its records are there already: its plays are wanted, for the pairs, and nothing is made of them."""


@dataclass(frozen=True)
class MatrixEntry:
    """A library: what it was judged to do, and what conventions it shows from outside."""

    report: TargetReport
    probed: Probed | None
    versions: dict[str, str]
    seconds: float


@dataclass(frozen=True)
class NoEnvironment:
    target: str
    reason: str


def judge_library(job: LibraryJob, tell: Tell) -> MatrixEntry | NoEnvironment:
    tell(0.0, f"{job.target}: environment")
    name, device = split_device(job.target)
    if name in CUDA_ONLY and device == CPU:
        return NoEnvironment(job.target, f"it computes on {CUDA} alone: {on_device(name, CUDA)}")
    place = place_of(name, job.only_here)
    if place.reason:
        return NoEnvironment(job.target, place.reason)
    options = CheckOptions(suite(job.suite), job.seed, resume=job.resume, again=True, diagnosed=not job.plays_only)
    return check_and_probe(job.target, place, telling(options, tell))


def check_and_probe(name: str, place: WhereToJudge, options: CheckOptions) -> MatrixEntry:
    """The suite under the declared conventions; then the conventions as they show from outside, if it is diagnosed."""
    started = time.monotonic()
    with opened(name, replace(options, python=place.python)) as player:
        report = check_target(player, options)
        probed = None
        if options.diagnosed and not report.load_error and not player.given_up:
            probed = probe(player)
    return MatrixEntry(report, probed, place.versions, time.monotonic() - started)


def not_judged(target: str, failure: JobFailure) -> MatrixEntry:
    """The entry of a target whose job failed."""
    return MatrixEntry(not_checked(target, "", failure), None, {}, 0.0)


class Expectations:
    """What is expected of targets with the same conventions, kept once: each report from another process brings all
    of it, some 40 MB."""

    def __init__(self) -> None:
        self._first: dict[object, PlayedCase] = {}

    def share(self, report: TargetReport) -> None:
        """Replace what the report has of it by what was kept."""
        declared = report.description and report.description.promises
        for number, played in enumerate(report.played):
            key = played.case.id, played.dtype, report.conventions, declared
            first = self._first.setdefault(key, played)
            report.played[number] = replace(played, script=first.script, expected=first.expected)


@dataclass(frozen=True)
class SnippetJob:
    file: str
    target: str
    """Whose environment it runs in."""
    only_here: bool


def show_finding(job: SnippetJob, _tell: Tell) -> LibraryFinding:
    return run_snippet(SNIPPETS / job.file, place_of(split_device(job.target)[0], job.only_here).interpreter)
