"""Verdicts as GitHub's workflow commands: what differs is shown beside the line of the layer.

https://docs.github.com/en/actions/writing-workflows/choosing-what-your-workflow-does/workflow-commands-for-github-actions
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.cli.failures import failure_line
from harness.judge.judgement import FAULTS
from harness.judge.report import NOT_LOADED, TargetReport, worst_of_each_case
from harness.targets.device import split_device
from harness.targets.through.names import split_through
from reports.compare import Change, Comparisons, details
from reports.formats import printable

BAD = (NOT_LOADED, *FAULTS)
LINES = 4
"""Of a message: more is not shown without a click."""


def of_reports(reports: Sequence[TargetReport], outdated: Sequence[str] = ()) -> Iterator[str]:
    """An error for each target that differs, a warning for each known difference that no longer does."""
    for report in reports:
        if report.verdict in BAD:
            yield command("error", f"bnproof: {report.target}: {report.verdict}", reasons(report), where(report.target))
    for case in outdated:
        yield command("error", "bnproof: a known difference no longer differs", [case])


def of_comparisons(comparisons: Comparisons) -> Iterator[str]:
    """An error for each target that is worse, a notice for each that is better."""
    for change in comparisons.changed:
        if change.change is not Change.other:
            level = "error" if change.change is Change.worse else "notice"
            title = f"bnproof: {change.target} is {change.change}: {change.verdicts}"
            yield command(level, title, details(change, LINES), where(change.target))


def reasons(report: TargetReport) -> list[str]:
    if report.load_error:
        return [report.load_error]
    lines = [f"{finding.id}: {finding.text}" for finding in report.diagnosis]
    return (lines + [failure_line(judgement) for judgement in worst_of_each_case(report.judgements)])[:LINES]


def command(level: str, title: str, lines: Sequence[str], place: tuple[str, int] | None = None) -> str:
    """One annotation; what would end it, or start another, is escaped."""
    properties = ({"file": place[0], "line": str(place[1])} if place else {}) | {"title": title}
    written = [f"{name}={escaped(printable(value), ':,')}" for name, value in properties.items()]
    return f"::{level} {','.join(written)}::{escaped(chr(10).join(map(printable, lines)))}"


def escaped(text: str, more: str = "") -> str:
    for character in "%\r\n" + more:
        text = text.replace(character, f"%{ord(character):02X}")
    return text


def where(target: str) -> tuple[str, int] | None:
    """The file and line of a target that is a file's class or function; None for any other."""
    path, colon, attribute = split_device(split_through(target)[0])[0].rpartition(":")
    name = attribute.partition("#")[0]
    if not colon or not path.endswith(".py"):
        return None
    try:
        tree = ast.parse(Path(path).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return path, 1
    lines = [node.lineno for node in tree.body if getattr(node, "name", None) == name]
    return Path(path).as_posix(), lines[0] if lines else 1
