"""`bnproof check`: targets through a suite of cases, a verdict each."""

from __future__ import annotations

import contextlib
import gc
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.chosen import chosen_cases, ensure_preset, shown_name, targets_to_play
from harness.cli.options import Jobs, Json, On, Python, Resume, Seed, Suite, TargetDevice, ensure_here
from harness.cli.replicas import Dealt, Replicas, Shards
from harness.cli.request import SECONDS, CheckRequest

if TYPE_CHECKING:
    from collections.abc import Generator

    from harness.cases.case import Case
    from harness.check import CheckOptions
    from harness.cli.output import Update
    from harness.judge.report import TargetReport

GARBAGE_AFTER = 20_000
"""So many new objects before Python looks for unreachable cycles: a check makes records by the ten thousand and keeps
them all, and to look at each took a twentieth of its time. What targets make is in processes of their own."""

EXIT_STATUSES = """\b
Exit status:
  0  all agree, or differ only as --known lists
  1  some differ or raised, or an entry of --known no longer differs
  2  usage, a target that cannot be loaded, a file that cannot be written
  3  some crashed or timed out
  4  nothing could be judged, or nothing of a training that was done
Where several hold, the first of 2, 3, 1, 4."""


def check(
    targets: Annotated[
        list[str] | None,
        typer.Argument(metavar="TARGET...", help="A name, module:attr, file.py:attr or exec:COMMAND."),
    ] = None,
    suite: Annotated[Suite, typer.Option(help="quick answers in seconds.")] = Suite.full,
    case: Annotated[list[str] | None, typer.Option(help="Only this case (may be repeated).", metavar="ID")] = None,
    seed: Seed = 0,
    timeout: Annotated[float, typer.Option(help="Seconds a case may take.", min=0.1)] = SECONDS,
    as_preset: Annotated[
        str | None, typer.Option("--as", help="Judge by this preset's conventions.", metavar="PRESET")
    ] = None,
    input_file: Annotated[
        Path | None, typer.Option("--input", help="Your own x (and dy, gamma, ...) in an .npz file.", metavar="NPZ")
    ] = None,
    layer: Annotated[
        str | None, typer.Option(help="Where in TARGET, a model, the layer is: 1, or block.norm.", metavar="PATH")
    ] = None,
    known: Annotated[
        Path | None, typer.Option(help="Known differences: lines 'case: reason'. Strict.", metavar="FILE")
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option(help="Write a summary in Markdown, for a CI to show.", metavar="FILE")
    ] = None,
    badge: Annotated[
        Path | None, typer.Option(help="Write the verdict as an SVG, for a README to show.", metavar="FILE")
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="Write a test case a case, as JUnit does.", metavar="FILE")] = None,
    annotations: Annotated[
        bool, typer.Option("--annotations", help="Print what differs as GitHub's annotations.")
    ] = False,
    device: Annotated[
        TargetDevice, typer.Option(help="Where targets compute; TARGET@cuda says it of one.")
    ] = TargetDevice.cpu,
    threads: Annotated[
        int | None, typer.Option(help="How many threads a target may use (1 if not said).", min=1, metavar="N")
    ] = None,
    python: Python = None,
    resume: Resume = None,
    jobs: Jobs = None,
    on: On = None,
    through: Annotated[
        str | None,
        typer.Option(help="Play it through these transformations (`bnproof list`).", metavar="NAME[,NAME...]"),
    ] = None,
    replicas: Replicas = None,
    shards: Shards = Dealt.even,
    same_as: Annotated[
        str | None, typer.Option(help="Compare with this target instead, in prediction.", metavar="TARGET")
    ] = None,
    training: Annotated[bool, typer.Option("--training", help="With --same-as: in training as well.")] = False,
    explain: Annotated[
        str | None, typer.Option(help="Say what this case proves, and what it cannot.", metavar="CASE")
    ] = None,
    json_file: Json = None,
) -> None:
    """Judge batch norms: right, to how many ulps, and if not, which known mistake."""
    if explain:
        from harness.cli.explain import explain as explain_case

        raise typer.Exit(explain_case(explain, seed))
    if not targets:
        raise typer.BadParameter("name a TARGET, or a case by --explain")
    request = CheckRequest(
        tuple(targets),
        suite.value,
        tuple(case or ()),
        seed,
        timeout,
        as_preset,
        input_file,
        layer or "",
        known_file=known,
        markdown_file=markdown,
        badge_file=badge,
        junit_file=junit,
        annotations=annotations,
        json_file=json_file,
        threads=threads,
        python=python,
        jobs=jobs,
        scheduler=on,
        resume=resume,
        through=tuple(through.split(",")) if through else (),
        replicas=replicas or 0,
        shards=shards.value,
        device=device.value,
        same_in_training=training,
    )
    gc.set_threshold(GARBAGE_AFTER)
    raise typer.Exit(run_comparison(request, same_as) if same_as else run(request))


def run(request: CheckRequest) -> int:
    """Judge, print and write. Returns the exit status. Raises UsageError for what is wrong before any work is done."""
    from harness.cli import show, verdicts
    from harness.cli.output import err, write_json
    from harness.cli.same_as import show_devices
    from harness.judge.known import excuse, read_known, stale
    from harness.record.files import ensure_writable

    ensure_here(request.resume, request.scheduler)
    known = read_known(request.known_file) if request.known_file else {}
    ensure_preset(request.as_preset)
    request = replace(request, targets=targets_to_play(request))
    cases = chosen_cases(request)
    for file in (request.json_file, request.markdown_file, request.badge_file, request.junit_file):
        if file:
            ensure_writable(file)
    reports, differed = [], set[str]()
    with contextlib.closing(reports_of(request, cases)) as checked:
        for report in checked:
            reports.append(report)
            differed |= excuse(report, known)
            show.report(report, request)
    show_devices(reports)
    outdated = stale(reports, known, differed)
    for case_id in outdated:
        message = f"known difference that no longer differs: {case_id}; take it out of {request.known_file}"
        err.print(message, style="red", markup=False, soft_wrap=True)
    write_json(request.json_file, verdicts.as_json(reports))
    write_others(request, reports, outdated)
    if request.resume:
        from harness.targets.remember import forget

        forget(request.resume, [report.target for report in reports])
    return verdicts.exit_status(reports, outdated)


def run_comparison(request: CheckRequest, model: str) -> int:
    """Whether the targets do what `model` does. Returns the exit status; raises UsageError as `run` does."""
    from harness.cli.same_as import compare, in_prediction
    from harness.record.files import ensure_writable

    if request.json_file:
        ensure_writable(request.json_file)
    ensure_preset(request.as_preset)
    request = replace(request, targets=(*request.targets, model))
    request = replace(request, targets=targets_to_play(request))
    cases = chosen_cases(request)
    cases = cases if request.same_in_training else in_prediction(cases)
    return compare(list(reports_of(request, cases)), request)


def write_others(request: CheckRequest, reports: list[TargetReport], outdated: list[str]) -> None:
    """What a CI shows: a summary, a badge, JUnit's test cases, annotations."""
    from harness.record.files import write_whole

    if request.markdown_file:
        from harness.cli.summary import summary

        write_whole(request.markdown_file, summary(reports, outdated))
    if request.badge_file:
        from harness.cli.badge import badge_of

        write_whole(request.badge_file, badge_of(reports))
    if request.junit_file:
        from harness.cli import junit

        write_whole(request.junit_file, junit.of_reports(reports, outdated))
    if request.annotations:
        from harness.cli import annotations

        print(*annotations.of_reports(reports, outdated), sep="\n")


def reports_of(request: CheckRequest, cases: tuple[Case, ...]) -> Generator[TargetReport, None, None]:
    """One report a target, in the order given, behind a progress bar."""
    from harness.check import check as check_targets
    from harness.cli.check_jobs import check_side_by_side
    from harness.cli.output import bar
    from harness.jobs.engines import IN_TURN, workers_of

    workers = workers_of(request.jobs, request.scheduler)
    with bar("starting", None) as update:
        options = check_options(request, cases, update)
        if workers == IN_TURN:
            yield from check_targets([*request.targets], options)
            return
    yield from check_side_by_side(request.targets, options, workers)


def check_options(request: CheckRequest, cases: tuple[Case, ...], update: Update) -> CheckOptions:
    """The options of a suite, its progress on a bar: for each target anew, since only a loaded target has a total."""
    from harness.check import CheckOptions
    from harness.targets.launch import interpreter_of
    from harness.targets.two_processes import processes_here

    shown = [shown_name(target, request.layer) for target in request.targets]
    number = {name: place for place, name in enumerate(shown, 1)}

    def titled(name: str, text: str) -> str:
        place = number.get(name, 1)
        return f"{name}{text}" if len(number) == 1 else f"{place}/{len(number)} {name}{text}"

    return CheckOptions(
        cases,
        request.seed,
        request.timeout,
        request.as_preset,
        on_plan=lambda name, total: update(description=titled(name, ""), total=total),
        on_case=lambda name, case: update(description=titled(name, f": {case}"), advance=1),
        layer=request.layer,
        threads=request.threads,
        python=interpreter_of(request.python) if request.python else None,
        resume=request.resume,
        processes=processes_here() if request.jobs is None and request.scheduler is None else 1,
        again=True,
    )
