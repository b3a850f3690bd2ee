"""`pytest harness`: the checks of `bnproof check`, one test id per target x case x direction.

--bn TARGET adds a target (a name, module:attr or file.py:attr); --require torch,flax makes a missing one an error.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from harness import pytest_options
from harness.cases.catalogue import CASES
from harness.check import CheckOptions, check_target
from harness.judge.judgement import Judgement
from harness.judge.report import TargetReport
from harness.targets.built_in import BUILT_IN, OWN, is_installed
from harness.targets.isolate import IsolatedTarget

TARGETS = (*OWN, "torch-native")
"""What must agree. The other built-in targets have findings: `bnproof check flax-nnx`, or --bn flax-nnx."""


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """In a checkout that is not installed; else the plugin has added them."""
    if not pluginmanager.has_plugin(pytest_options.PLUGIN):
        pytest_options.pytest_addoption(parser)


def pytest_configure(config: pytest.Config) -> None:
    unknown = [name for name in required(config) if name not in BUILT_IN]
    if unknown:
        raise pytest.UsageError(f"--require: unknown target {unknown[0]!r}; known: {', '.join(BUILT_IN)}")


def required(config: pytest.Config) -> list[str]:
    return [name for name in config.getoption("--require").split(",") if name]


def chosen(config: pytest.Config) -> list[str]:
    """The targets of this run, each once, in order."""
    return list(dict.fromkeys([*TARGETS, *required(config), *config.getoption("--bn")]))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    names = chosen(metafunc.config)
    if "target" in metafunc.fixturenames:
        metafunc.parametrize("target", names, scope="session")
    if "pair" in metafunc.fixturenames:
        pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
        metafunc.parametrize("pair", pairs, ids=[f"{a}/{b}" for a, b in pairs])
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", CASES, ids=[case.id for case in CASES])


class Checked:
    """Every target's report, made once in the background: two targets at a time on two cores."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._pool = ThreadPoolExecutor(max(1, min(4, os.cpu_count() or 1)))
        self._reports: dict[str, Future[TargetReport]] = {}
        for name in chosen(config):
            if name not in BUILT_IN or is_installed(name):
                self._reports[name] = self._pool.submit(_checked, name)

    def report(self, name: str) -> TargetReport:
        """The report of a target. A missing built-in skips, unless --require names it."""
        if name not in self._reports:
            text = f"{name} needs {BUILT_IN[name].needs}: {BUILT_IN[name].install}"
            (pytest.fail if name in required(self._config) else pytest.skip)(text)
        report = self._reports[name].result()
        if report.load_error:
            pytest.fail(report.load_error, pytrace=False)
        return report

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


def _checked(name: str) -> TargetReport:
    with IsolatedTarget(name) as isolated:
        return check_target(isolated, CheckOptions(CASES))


@pytest.fixture(scope="session")
def checked(pytestconfig: pytest.Config) -> Iterator[Checked]:
    reports = Checked(pytestconfig)
    yield reports
    reports.close()


def assert_law(report: TargetReport, case_id: str, direction: str, record_property) -> None:
    """Fail on the first law judgement of a direction that does not hold; skip, saying why, where nothing is judged.

    A judgement of the whole step or process (an error, a crash) belongs to every direction.
    """
    mine = [j for j in report.judgements if j.case == case_id and j.direction in (direction, None)]
    broken = [j for j in mine if j.counts_against]
    assert not broken, described(broken[0])
    judged = [j for j in mine if j.verdict == "agree"]
    if not judged:
        reasons = sorted({f"{j.verdict}: {j.message or 'the bound proves nothing here'}" for j in mine})
        pytest.skip("; ".join(reasons) or "the target plays none of this case's dtypes")
    record_property("largest_ratio", max((j.ratio for j in judged if j.ratio is not None), default=0.0))


def described(j: Judgement) -> str:
    """A failure with the numbers that matter."""
    where = f"{j.case} {j.dtype} step {j.step} ({j.op})"
    if j.ratio is None:
        return f"{where}: {j.verdict}: {j.message}"
    return (
        f"{where}: {j.observable}{j.index} is {j.got!r}, the oracle has {j.want!r}: "
        f"error {j.error:.3g} is {j.ratio:.3g} times the bound {j.bound:.3g}"
    )
