"""The work of `bnproof history`: install each release, judge it there, and write down what was found.

Writes history-LIBRARY.jsonl, and the pages of the matrix anew where one is in the same folder.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from harness.cases.catalogue import suite
from harness.check import CheckOptions, check_target, opened
from harness.cli.every_library import header
from harness.cli.jobs import done_behind_a_bar, show_failure
from harness.cli.ledgers import open_ledger
from harness.cli.output import AGREED, FAULTY, NOTHING_JUDGED, coloured, say, write_json
from harness.cli.output import out as console
from harness.environments.environments import make as make_environment
from harness.environments.interpreters import available
from harness.environments.package_index import Release, releases, select, suits
from harness.environments.requirements import NotInstallableError, Requirements, running_version
from harness.errors import UsageError
from harness.jobs.engines import IN_TURN, Engine, Workers, open_engine
from harness.jobs.job import Job, JobFailure, Tell
from harness.judge.judgement import FAULTS
from harness.record.environment import environment
from harness.record.kinds import ReleaseRecord, TargetVerdict
from harness.record.ledger import SCHEMA, plain
from harness.targets.libraries import LIBRARIES, Library
from harness.targets.remember import forget

COMPANIONS_DAYS = 30
"""A release gets what was uploaded until so many days after it: the companions that its users had."""


@dataclass(frozen=True)
class Plan:
    distribution: str
    library: Library
    releases: list[Release]
    suite: str
    seed: int
    resume: Path | None = None
    """Where the targets' answers are kept, a folder a release."""


@dataclass(frozen=True)
class HistoryOptions:
    out: Path
    suite: str = "full"
    seed: int = 0
    json_file: Path | None = None
    workers: Workers = IN_TURN
    resume: Path | None = None


@dataclass(frozen=True)
class ReleaseJob:
    plan: Plan
    release: Release


def make(distribution: str, words: list[str], options: HistoryOptions) -> int:
    """Judge the releases and write it down. Returns the exit status: 1 where the last release has a fault."""
    if distribution not in LIBRARIES:
        raise UsageError(f"there is no history of {distribution!r}: known are {', '.join(LIBRARIES)}")
    library, out = LIBRARIES[distribution], options.out
    plan = Plan(
        distribution, library, select(releases(distribution), words), options.suite, options.seed, options.resume
    )
    records = []
    with open_engine(options.workers) as engine:
        ledger = open_ledger(out / f"history-{distribution}.jsonl", header(options.suite, options.seed), options.resume)
        for record in judged(plan, engine):
            records.append(record)
            ledger.add("release", record)
            console.print(line_of(record), highlight=False)
    ledger.close()
    for release in plan.releases:
        if folder := answers_of(plan, release.version):
            forget(folder, library.targets)
    write_json(options.json_file, {"schema": SCHEMA, "environment": environment(), "releases": plain(records)})
    if (out / "ledger.jsonl").exists():
        from harness.cli.companion import of_records
        from reports.render import render

        page = render(out / "ledger.jsonl", out, companion_of=of_records)
        say(f"page: {page}")
    return status([record for record in records if record.version == plan.releases[-1].version])


def judged(plan: Plan, engine: Engine) -> Iterator[ReleaseRecord]:
    """One record a release and target, the oldest release first."""
    jobs = [Job(judge_release, ReleaseJob(plan, release)) for release in plan.releases]
    with contextlib.closing(done_behind_a_bar(plan.distribution, engine, jobs)) as outcomes:
        for release, outcome in zip(plan.releases, outcomes, strict=True):
            yield from not_judged(plan, release, outcome) if isinstance(outcome, JobFailure) else outcome


def judge_release(job: ReleaseJob, tell: Tell) -> list[ReleaseRecord]:
    """One record a target, in an environment that is made here unless it is there."""
    plan, release = job.plan, job.release
    blank = ReleaseRecord(plan.distribution, release.version, release.uploaded)
    tell(0.0, f"{release.version}: installing")
    try:
        requirements = requirements_of(plan, release)
        installed = make_environment(requirements)
    except NotInstallableError as error:
        verdict, reason = TargetVerdict.not_installable, str(error)
        return [replace(blank, target=target, verdict=verdict, reason=reason) for target in plan.library.targets]
    records = []
    for number, target in enumerate(plan.library.targets):
        tell(number / len(plan.library.targets), f"{release.version}: {target}")
        versions = dict(sorted(installed.versions.items()))
        about = replace(blank, target=target, python=requirements.python_version, versions=versions)
        records.append(checked(plan, about, str(installed.python)))
    return records


def not_judged(plan: Plan, release: Release, failure: JobFailure) -> Iterator[ReleaseRecord]:
    """The records of a release whose job failed."""
    show_failure(f"{plan.distribution} {release.version}", failure)
    for target in plan.library.targets:
        blank = ReleaseRecord(plan.distribution, release.version, release.uploaded)
        yield replace(blank, target=target, verdict=TargetVerdict.not_loaded, reason=failure.reason)


def requirements_of(plan: Plan, release: Release) -> Requirements:
    """What the release needs, on a Python that it runs on. Raises NotInstallableError where there is none here."""
    pythons = [running_version(), *available()]
    suitable = [python for python in pythons if suits(release, python)]
    if not suitable:
        raise NotInstallableError(f"wants Python {release.requires_python}; here are {', '.join(available())}")
    return Requirements(
        pip=plan.library.pip(plan.distribution, release.version),
        programs=plan.library.programs,
        python=suitable[0],
        uploaded_before=release.days_later(COMPANIONS_DAYS),
    )


def checked(plan: Plan, about: ReleaseRecord, python: str) -> ReleaseRecord:
    started = time.monotonic()
    options = CheckOptions(
        suite(plan.suite), plan.seed, python=python, resume=answers_of(plan, about.version), again=True
    )
    with opened(about.target, options) as player:
        report = check_target(player, options)
    return replace(
        about,
        verdict=TargetVerdict(report.verdict),
        reason=report.load_error or "",
        diagnosis=tuple(report.diagnosis),
        notes=tuple(report.notes),
        seconds=round(time.monotonic() - started, 1),
    )


def answers_of(plan: Plan, version: str) -> Path | None:
    return plan.resume / f"{plan.distribution}-{version}" if plan.resume else None


def line_of(record: ReleaseRecord) -> str:
    from rich.markup import escape

    ids = ", ".join(finding.id for finding in record.diagnosis) or record.reason
    release = f"{record.library} {record.version} [dim]{record.uploaded}[/]"
    return f"{release} {record.target}: {coloured(record.verdict)} {escape(ids)}"


def status(last: list[ReleaseRecord]) -> int:
    verdicts = {record.verdict for record in last}
    if verdicts & {TargetVerdict(fault) for fault in FAULTS}:
        return FAULTY
    return AGREED if TargetVerdict.agree in verdicts else NOTHING_JUDGED
