"""Every target's report for the checks as tests, made once, and what a test says of it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import pytest

from harness.cases.case import Case
from harness.check import CheckOptions, check_target
from harness.judge.coverage import not_judged, training_gave_nothing
from harness.judge.judgement import Judgement, Verdict
from harness.judge.known import excuse, stale
from harness.judge.report import TargetReport
from harness.known_here import KNOWN_HERE
from harness.observables import Direction
from harness.targets.built_in import BUILT_IN, is_installed
from harness.targets.isolate import IsolatedTarget


@dataclass(frozen=True)
class Selection:
    """What a run of pytest is asked to check. `as_preset` and `layer` are about the user's own targets."""

    targets: tuple[str, ...]
    cases: tuple[Case, ...]
    required: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    as_preset: str | None = None
    layer: str = ""
    known: dict[str, str] = field(default_factory=dict)
    """Case -> why it is known to differ."""

    def known_of(self, target: str) -> dict[str, str]:
        """The same for one target, with what is known of it where a user has not asked for it."""
        return self.known if target in self.users else KNOWN_HERE.get(target, {}) | self.known

    def options_of(self, target: str) -> CheckOptions:
        if target in self.users:
            return CheckOptions(self.cases, as_preset=self.as_preset, layer=self.layer)
        return CheckOptions(self.cases)


class Reports:
    """The reports of the targets that the collected tests need, made in the background, one a processor core."""

    def __init__(self, selection: Selection, needed: Iterable[str]) -> None:
        self._selection = selection
        self._pool = ThreadPoolExecutor(max(1, min(4, os.cpu_count() or 1)))
        self._reports: dict[str, Future[tuple[TargetReport, set[str]]]] = {}
        for target in needed:
            if target not in BUILT_IN or is_installed(target):
                self._reports[target] = self._pool.submit(self._check, target)

    def _check(self, target: str) -> tuple[TargetReport, set[str]]:
        """The report, and which of the known differences show in it."""
        options = self._selection.options_of(target)
        with IsolatedTarget(target, options.timeout, options.layer) as player:
            report = check_target(player, options)
        return report, excuse(report, self._selection.known_of(target))

    def report(self, target: str) -> TargetReport:
        """The report of a target. A built-in that is not installed skips, unless it is required."""
        if target not in self._reports:
            message = f"{target} needs {BUILT_IN[target].needs}: {BUILT_IN[target].install}"
            (pytest.fail if target in self._selection.required else pytest.skip)(message)
        report, _ = self._reports[target].result()
        if report.load_error:
            pytest.fail(report.load_error, pytrace=False)
        return report

    def without_known(self, target: str) -> TargetReport:
        """The same without the cases in which the target is known to differ, and does."""
        report = self.report(target)
        _, differed = self._reports[target].result()
        return replace(report, played=[played for played in report.played if played.case.id not in differed])

    def assert_known_difference(self, case: str) -> None:
        """Fail if a case that is listed as known to differ was played and differs for no target any more."""
        results = [future.result() for future in self._reports.values()]
        differing = set().union(*(cases for _, cases in results))
        reason = self._selection.known[case]
        if stale([report for report, _ in results], {case: reason}, differing):
            pytest.fail(f"{case} no longer differs ({reason}): take it out of the known differences", pytrace=False)
        if case not in differing:
            pytest.skip(f"{case} is not played here")

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


def assert_law(request: pytest.FixtureRequest, report: TargetReport, case: Case, direction: Direction) -> None:
    """Fail on the first law judgement of a direction that does not hold; skip, saying why, where nothing is judged.

    A judgement of the whole step or process (an error, a crash) belongs to every direction. A known difference is an
    expected failure.
    """
    judgements = [j for j in report.judgements if j.case == case.id and j.direction in (direction, None)]
    faults = [j for j in judgements if j.counts_against]
    if faults:
        pytest.fail("\n".join([described(faults[0]), *diagnosis_of(report, case)]), pytrace=False)
    known = [j for j in judgements if j.verdict is Verdict.known]
    if known:
        pytest.xfail(str(known[0].message))
    agreeing = [j for j in judgements if j.verdict is Verdict.agree]
    if not agreeing:
        reasons = sorted({f"{j.verdict}: {j.message or 'the bound proves nothing here'}" for j in judgements})
        pytest.skip("; ".join(reasons) or "the target plays none of this case's dtypes")
    put_figure(request, max((j.ratio for j in agreeing if j.ratio is not None), default=0.0))


def assert_agrees(report: TargetReport) -> None:
    """Fail where `bnproof check` would: on any fault, and where nothing could be judged."""
    if training_gave_nothing(report):
        pytest.fail(f"{report.target}: {report.verdict}, {not_judged(report)}", pytrace=False)
    if report.verdict in (Verdict.agree, Verdict.known):
        return
    diagnosis = [f"{finding.id}: {finding.text}" for finding in report.diagnosis]
    pytest.fail("\n".join([f"{report.target}: {report.verdict}", *diagnosis]), pytrace=False)


def put_figure(request: pytest.FixtureRequest, largest_ratio: float) -> None:
    """Into the JUnit file. pytest's `record_property` warns in its default format, though the figure gets there."""
    request.node.user_properties.append(("largest_ratio", largest_ratio))


def described(judgement: Judgement) -> str:
    """A failure with the numbers that matter."""
    j = judgement
    place = f"{j.case} {j.dtype}" if j.step is None else f"{j.case} {j.dtype} step {j.step} ({j.op})"
    if j.ratio is None or j.error is None or j.bound is None:
        return f"{place}: {j.verdict}: {j.message}"
    return (
        f"{place}: {j.observable}{j.index} is {j.got!r}, the oracle has {j.want!r}: "
        f"error {j.error:.3g} is {j.ratio:.3g} times the bound {j.bound:.3g}"
    )


def diagnosis_of(report: TargetReport, case: Case) -> list[str]:
    return [f"{finding.id}: {finding.text}" for finding in report.diagnosis if case.id in finding.cases]
