"""Targets through a suite: each case is played on the target's own player, judged here, and diagnosed at the end."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from harness import again
from harness.ahead import beside, one_early, started
from harness.cases.case import Case
from harness.cases.script import FROZEN
from harness.diagnose.notes import notes_on
from harness.in_two import Outcome, given_up, play_in_two
from harness.judge.judge import CasePlace, judge, place_of
from harness.judge.judgement import Judgement, Kind, Reason, Verdict
from harness.judge.oracle import NoOracleError
from harness.judge.prepare import PreparedCase, prepare
from harness.judge.report import PlayedCase, TargetReport, failing
from harness.probe.probe import probe
from harness.stopwatch import part
from harness.targets.isolate import CASE_SECONDS, IsolatedTarget
from harness.targets.load import TargetError
from harness.targets.player import Death, Description, Observation, Player
from harness.targets.remember import Remembering, sources_of
from harness.targets.smoke import smoke
from harness.targets.two_processes import TwoProcesses
from harness.targets.wrap.common import DECLARED
from reference.conventions import conventions_from

OnPlan = Callable[[str, int], None]
"""Called with a target's name and how many cases it is about to play, once that is known."""

OnCase = Callable[[str, str], None]
"""Called with a target's name and what it is about to play."""


@dataclass(frozen=True)
class CheckOptions:
    """What a suite is run with. The timeout is in seconds a case."""

    cases: tuple[Case, ...]
    seed: int = 0
    timeout: float = CASE_SECONDS
    as_preset: str | None = None
    on_plan: OnPlan | None = None
    on_case: OnCase | None = None
    diagnosed: bool = True
    """Whether failures are explained. That takes seconds, where verdicts alone take none."""
    layer: str = ""
    """Where in each target, a model, the layer is: "1", or "block.norm"."""
    threads: int | None = None
    """How many a target may use; None: one, unless the environment says otherwise."""
    python: str | None = None
    """The interpreter of the environment in which the targets are played; None: this one."""
    resume: Path | None = None
    """Where answers are kept, so that a run that was killed goes on; None: nowhere."""
    processes: int = 1
    """How many play one target, where that is worth a second process: 1 or 2."""
    again: bool = False
    """Whether plays that fail, or one that does not, are repeated, to tell a mistake from chance. It takes a second."""


def opened(name: str, options: CheckOptions) -> IsolatedTarget | Remembering | TwoProcesses:
    """The player of a target, in a process of its own, or two."""

    def open_one() -> IsolatedTarget:
        return IsolatedTarget(name, options.timeout, options.layer, threads=options.threads, python=options.python)

    if options.resume is not None:
        return Remembering(open_one(), options.resume, sources_of(name))
    return TwoProcesses(open_one, options.cases) if options.processes > 1 else open_one()


def plan(cases: tuple[Case, ...], description: Description) -> Iterator[tuple[Case, str]]:
    """(case, dtype) pairs, float64 before the rest: that separates a convention from mere precision."""
    for dtype in sorted(description.dtypes, key=lambda dtype: dtype != "float64"):
        for case in cases:
            if dtype in case.dtypes:
                yield case, dtype


def check(names: list[str], options: CheckOptions) -> Generator[TargetReport, None, None]:
    """One report a target, in the order given. The next target's process starts while this one is judged."""
    started: dict[int, IsolatedTarget | Remembering | TwoProcesses] = {}
    try:
        for number in range(len(names)):
            for ahead in range(number, min(number + 2, len(names))):
                if ahead not in started:
                    started[ahead] = opened(names[ahead], options)
            yield check_target(started[number], options)
            started[number].close()
    finally:
        for player in started.values():
            player.close()


def check_target(player: Player, options: CheckOptions) -> TargetReport:
    """Judge one target. A target that cannot be loaded is a report as well."""
    report = TargetReport(player.name)
    try:
        with part("start"):
            player.describe()
        with part("settle"):
            report.description = settle(player, report, options.as_preset)
    except (TargetError, ValueError) as error:
        report.load_error = str(error)
        return report
    cases = list(plan(options.cases, report.description))
    if options.on_plan:
        options.on_plan(player.name, len(cases))
    if player.last_death and cases:
        report.judgements.append(early_death(report, player.last_death, *cases[0]))
        if player.given_up:
            del cases[0]
    report.judgements += check_cases(player, cases, options, report)
    with part("again"):
        by_chance = again.play_again(player, report) if options.again and not player.given_up else []
    if options.diagnosed and failing(report.judgements):
        from harness.diagnose.diagnose import diagnose  # hundreds of mistakes: a tenth of a second

        found = [again.finding_of(by_chance)] if by_chance else []
        with part("diagnose"):
            report.diagnosis = found + diagnose(again.without(report, by_chance) if by_chance else report)
    with part("notes"):
        report.notes += [*notes_on(report), *player.notes()]
    return report


def settle(player: Player, report: TargetReport, as_preset: str | None) -> Description:
    """What the target takes, which is returned, and by which conventions it is judged: as without a transformation.

    Probed through one, statistics that move twice would pass for a convention.
    """
    plain = None if set(DECLARED) <= set(player.describe().declared) else player.untransformed()
    if plain is None:
        description, refusals = (player.describe(), []) if player.transformation else smoke(player)
        settle_conventions(player, description, report, as_preset)
    else:
        with contextlib.closing(plain):
            fits, refusals = smoke(plain)
            description = player.narrow(ranks=fits.ranks, dtypes=fits.dtypes)
            settle_conventions(plain, fits, report, as_preset)
    report.notes += refusals
    return description


def settle_conventions(player: Player, description: Description, report: TargetReport, as_preset: str | None) -> None:
    """Those that --as names, else those that are declared, else those that are probed."""
    if as_preset:
        report.conventions, report.source = conventions_from(as_preset), f"--as {as_preset}"
    elif description.conventions is not None:
        report.conventions, report.source = conventions_from(description.conventions), "declared"
    else:
        probed = probe(player)
        report.conventions, report.source = probed.conventions, "probed"
        report.unseen = tuple(probed.unseen)
        report.notes += [*probed.notes]


def early_death(report: TargetReport, death: Death, case: Case, dtype: str) -> Judgement:
    """A death before the first case counts as one in it: the calls that it came of were ordinary ones."""
    doing = "its conventions were probed" if report.source == "probed" else "it was tried on a small input"
    message = f"{death.message}, while {doing}"
    return CasePlace(case, dtype, Kind.law).judgement(Verdict(death.cause.value), Reason.died, message)


def check_cases(
    player: Player, cases: Sequence[tuple[Case, str]], options: CheckOptions, report: TargetReport
) -> list[Judgement]:
    """Play and judge (case, dtype) pairs; what keeps one from being judged is its only judgement. All in this order.

    While a target's own process plays one, what is expected of the next is looked up, and the one before is judged.
    """
    with beside(isinstance(player, (IsolatedTarget, Remembering, TwoProcesses))) as here:
        play = partial(play_cases, options=options, report=report, here=here)
        outcomes = play_in_two(player, cases, play) if isinstance(player, TwoProcesses) else play(player, cases)
        with part("judge"):
            return list(collected(outcomes, report))


def play_cases(
    player: Player,
    cases: Iterable[tuple[Case, str]],
    goes_on: Callable[[], bool] = lambda: True,
    *,
    options: CheckOptions,
    report: TargetReport,
    here: Executor,
) -> list[Outcome]:
    """In this order, as long as it goes on; judged `here`."""
    refused = [(case, dtype, refusal(case, dtype, report)) for case, dtype in cases]
    asked = ((case, dtype) for case, dtype, why in refused if why is None)
    ahead = one_early(started(here, partial(prepared, *pair, options.seed, report)) for pair in asked)
    outcomes: list[Outcome] = []
    for case, dtype, why in refused:
        if not goes_on():
            break
        if options.on_case:
            options.on_case(player.name, f"{case.id} {dtype}")
        outcomes.append(why or play_case(player, case, dtype, report, ahead, here))
    return outcomes


def play_case(
    player: Player, case: Case, dtype: str, report: TargetReport, ahead: Iterator[Future[PreparedCase]], here: Executor
) -> Outcome:
    """Play one case that is not refused, to be judged `here`. ahead: such cases, prepared, in order."""
    assert report.conventions is not None
    place = place_of(case, dtype)
    if player.given_up:
        return given_up(case, dtype, player.deaths)
    try:
        with part("expect"):
            ready = next(ahead).result()
    except NoOracleError as error:
        return place.judgement(Verdict.not_run, Reason.no_oracle, str(error))
    with part("play"):
        answer = player.play(ready.script, report.conventions.channel_axis)
    if isinstance(answer, Death):
        return place.judgement(Verdict(answer.cause.value), Reason.died, answer.message)
    return started(here, partial(judged_case, case, dtype, ready, answer))


def prepared(case: Case, dtype: str, seed: int, report: TargetReport) -> PreparedCase:
    """Raises NoOracleError."""
    assert report.conventions is not None
    assert report.description is not None
    return prepare(case, dtype, seed, report.conventions, *report.description.promises)


def judged_case(case: Case, dtype: str, ready: PreparedCase, answer: Observation) -> PlayedCase:
    judgements = judge(case, ready.script, ready.expected, answer)
    return PlayedCase(case, dtype, ready.script, ready.expected, answer, judgements)


def collected(judged: Iterable[Outcome], report: TargetReport) -> Iterator[Judgement]:
    """Every judgement, in order; the played cases are put into the report."""
    for one in judged:
        if isinstance(one, Judgement):
            yield one
        else:
            report.played.append(one.result())
            yield from report.played[-1].judgements


def refusal(case: Case, dtype: str, report: TargetReport) -> Judgement | None:
    """Why the target is not asked for the case, if it is not."""
    assert report.description is not None
    place = place_of(case, dtype)
    if case.ndim not in report.description.ranks:
        message = f"the target takes no rank {case.ndim}"
        return place.judgement(Verdict.unsupported, Reason.rank_not_taken, message)
    not_offered = what_is_not_offered(case, report.description)
    return place.judgement(Verdict.unsupported, Reason.option_not_offered, not_offered) if not_offered else None


def what_is_not_offered(case: Case, description: Description) -> str:
    """Why the target cannot be asked for what the case takes beyond the ordinary layer; "" where it can."""
    missing = [option for option in case.options.asked_for if option not in description.options]
    if missing:
        return f"the target does not declare the option {' and '.join(missing)}"
    is_known = bool(description.methods)  # a program does not list them: it is asked
    if is_known and FROZEN in case.script and FROZEN not in description.methods:
        return f"the target has no `{FROZEN}`"
    lacking = description.lacks(case.script)
    return f"the target has no `{lacking}`" if lacking else ""
