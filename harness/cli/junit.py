"""Verdicts as JUnit's XML, which hosted CIs show as tests: a suite a target, a test case a case and dtype."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Iterable, Sequence

from harness.cli.failures import difference
from harness.judge.judgement import SEVERITY, Judgement, Kind, Verdict
from harness.judge.report import TargetReport
from reports.compare import Change, Comparisons, details
from reports.formats import printable

PASSED = (Verdict.agree, Verdict.known, Verdict.noted)


def of_reports(reports: Sequence[TargetReport], outdated: Sequence[str] = ()) -> str:
    """What `bnproof check` has judged. outdated: known differences that no longer differ, which fail."""
    root = ET.Element("testsuites", name="bnproof")
    for report in reports:
        suite = ET.SubElement(root, "testsuite", name=printable(report.target))
        if report.load_error:
            add_case(suite, report.target, "load", "error", report.load_error)
        for (case, dtype), judgements in by_case(report.judgements).items():
            add_case(suite, report.target, f"{case} {dtype}", *outcome(judgements))
    if outdated:
        suite = ET.SubElement(root, "testsuite", name="known differences")
        for case in outdated:
            add_case(suite, "known differences", case, "failure", "it no longer differs: take it off the list")
    return text_of(root)


def of_comparisons(comparisons: Comparisons) -> str:
    """What `bnproof compare` found: a target that is worse fails."""
    root = ET.Element("testsuites", name="bnproof compare")
    suite = ET.SubElement(root, "testsuite", name="bnproof compare")
    for change in comparisons.targets:
        is_worse = change.change is Change.worse
        message = "\n".join([change.verdicts, *details(change, at_most=20)])
        add_case(suite, "bnproof compare", change.target, "failure" if is_worse else "", message)
    return text_of(root)


def by_case(judgements: Iterable[Judgement]) -> dict[tuple[str, str], list[Judgement]]:
    """Those of law: policy fails nobody."""
    grouped: dict[tuple[str, str], list[Judgement]] = defaultdict(list)
    for judgement in judgements:
        if judgement.kind is Kind.law:
            grouped[judgement.case, judgement.dtype].append(judgement)
    return grouped


def outcome(judgements: Sequence[Judgement]) -> tuple[str, str]:
    """("failure", "error", "skipped" or "" where it passed; why)"""
    worst = min(judgements, key=lambda judgement: SEVERITY.index(judgement.verdict))
    if worst.counts_against:
        lines = [difference(judgement) for judgement in judgements if judgement.counts_against]
        died = worst.verdict in (Verdict.crashed, Verdict.timed_out)
        return "error" if died else "failure", "\n".join(lines)
    return ("", "") if worst.verdict in PASSED else ("skipped", f"{worst.verdict}: {worst.message or worst.reason}")


def add_case(suite: ET.Element, target: str, name: str, kind: str, message: str = "") -> None:
    case = ET.SubElement(suite, "testcase", classname=printable(target), name=printable(name))
    if kind:
        lines = [printable(line) for line in message.splitlines()] or [""]
        ET.SubElement(case, kind, message=lines[0]).text = "\n".join(lines)


def text_of(root: ET.Element) -> str:
    """The document, each suite with its counts."""
    for suite in root:
        suite.set("tests", str(len(suite)))
        for kind, name in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            suite.set(name, str(len(suite.findall(f"testcase/{kind}"))))
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"
