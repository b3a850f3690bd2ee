"""Targets through a suite: each case played in the target's own process, judged here, compared in pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from harness.cases.case import Case, Script
from harness.judge.oracle import Expected, NoOracleError, expect
from harness.judge.verdict import NOT_RUN, UNSUPPORTED, Judgement, judge, overall
from harness.targets.isolate import CASE_SECONDS, Death, IsolatedTarget
from harness.targets.load import Description, TargetError
from harness.targets.play import Observation
from harness.targets.smoke import smoke
from reference.conventions import Conventions, conventions_from

OnCase = Callable[[str, str], None]


@dataclass
class Played:
    """One case in one dtype: what went in, what was owed, what came."""

    case: Case
    dtype: str
    script: Script
    expected: list[Expected]
    seen: Observation
    judgements: list[Judgement]


@dataclass
class TargetReport:
    """All that is known of one target after a suite."""

    target: str
    conventions: Conventions | None = None
    source: str = ""  # "declared" | "probed" | "--as PRESET"
    description: Description | None = None
    load_error: str | None = None
    played: list[Played] = field(default_factory=list)
    judgements: list[Judgement] = field(default_factory=list)
    notes: list[dict[str, str]] = field(default_factory=list)
    diagnosis: list[dict] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        return "not_loaded" if self.load_error else overall(self.judgements)


def plan(cases: tuple[Case, ...], description: Description) -> Iterator[tuple[Case, str]]:
    """(case, dtype) pairs, float64 before the rest: that separates a convention from mere precision."""
    wide_first = sorted(description.dtypes, key=lambda dtype: dtype != "float64")
    for dtype in wide_first:
        for case in cases:
            if dtype in case.dtypes:
                yield case, dtype


def check(
    names: list[str],
    cases: tuple[Case, ...],
    *,
    seed: int = 0,
    timeout: float = CASE_SECONDS,
    as_preset: str | None = None,
    on_case: OnCase | None = None,
) -> Iterator[TargetReport]:
    """One report a target, in the order given. The next target's process starts while this one is judged."""
    started: dict[int, IsolatedTarget] = {}
    try:
        for number, name in enumerate(names):
            for ahead in range(number, min(number + 2, len(names))):
                if ahead not in started:
                    started[ahead] = IsolatedTarget(names[ahead], timeout)
            isolated = started[number]
            yield check_one(name, isolated, cases, seed=seed, as_preset=as_preset, on_case=on_case)
            isolated.close()
    finally:
        for isolated in started.values():
            isolated.close()


def check_one(
    name: str,
    isolated: IsolatedTarget,
    cases: tuple[Case, ...],
    *,
    seed: int = 0,
    as_preset: str | None = None,
    on_case: OnCase | None = None,
) -> TargetReport:
    """Judge one target. A target that cannot be loaded is a report as well."""
    from harness.diagnose.diagnose import diagnose, observations_to_notes

    report = TargetReport(name)
    try:
        isolated.describe()
        report.description, smoke_notes = smoke(isolated)
        report.notes += smoke_notes
        report.conventions, report.source, notes = settle_conventions(isolated, report.description, as_preset)
        report.notes += notes
    except (TargetError, ValueError) as error:
        report.load_error = str(error)
        return report
    for case, dtype in plan(cases, report.description):
        if on_case:
            on_case(name, f"{case.id} {dtype}")
        one = check_case(isolated, case, dtype, seed, report)
        report.judgements += one
    report.diagnosis = diagnose(report)
    report.notes += observations_to_notes(report, isolated)
    return report


def settle_conventions(
    isolated: IsolatedTarget, description: Description, as_preset: str | None
) -> tuple[Conventions, str, list[dict[str, str]]]:
    """(conventions, where they come from, notes): what --as says, else what is declared, else what is probed."""
    if as_preset:
        return conventions_from(as_preset), f"--as {as_preset}", []
    if description.conventions is not None:
        return conventions_from(description.conventions), "declared", []
    from harness.probe.probe import probe

    found = probe(isolated)
    return found.conventions, "probed", found.notes


def check_case(isolated: IsolatedTarget, case: Case, dtype: str, seed: int, report: TargetReport) -> list[Judgement]:
    """Play and judge one case; what keeps it from being judged is its only judgement."""
    assert report.conventions is not None
    assert report.description is not None

    def unjudged(verdict: str, message: str) -> list[Judgement]:
        kind = "policy" if case.policy == "all" else "law"
        return [Judgement(case.id, dtype, None, None, None, kind, verdict, message=message)]

    if case.ndim not in report.description.ranks:
        return unjudged(UNSUPPORTED, f"the target takes no rank {case.ndim}")
    if isolated.given_up:
        return unjudged(NOT_RUN, f"given up after {isolated.deaths} deaths or hangs")
    script = case.make(dtype, seed, report.conventions.momentum_for(case.new_weight))
    try:
        expected = expect(script, report.conventions)
    except NoOracleError as error:
        return unjudged(NOT_RUN, str(error))
    answer = isolated.play(script, report.conventions.channel_axis)
    if isinstance(answer, Death):
        return unjudged(answer.verdict, answer.message)
    judgements = judge(case, script, expected, answer)
    report.played.append(Played(case, dtype, script, expected, answer, judgements))
    return judgements
