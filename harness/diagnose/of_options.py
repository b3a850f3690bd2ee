"""Failures in cases of another layer than the ordinary one: built without a part, masked, frozen.

Where the ordinary layer fails as well, it is diagnosed by its own cases alone: what it does under an option follows
from that in ways that no replay of a known mistake need share.
"""

from __future__ import annotations

from harness.cases.case import Case
from harness.cases.script import FROZEN
from harness.diagnose.evidence import Evidence
from harness.diagnose.mistakes.known_options import IDS
from harness.diagnose.suspects import Suspect, single_suspects
from harness.judge.judgement import Judgement
from harness.judge.report import PlayedCase
from reference.conventions import Conventions


def asks_for_an_option(case: Case) -> bool:
    """Whether the case is of another layer than the ordinary one."""
    return bool(case.options.asked_for) or FROZEN in case.script


def of_the_ordinary_layer(
    failed: list[Judgement], played: list[PlayedCase]
) -> tuple[list[Judgement], list[PlayedCase]]:
    """The failures and cases of the ordinary layer; all of them where it has no failure."""
    with_options = {case.case.id for case in played if asks_for_an_option(case.case)}
    ordinary = [judgement for judgement in failed if judgement.case not in with_options]
    if not ordinary:
        return failed, played
    return ordinary, [case for case in played if case.case.id not in with_options]


def mistakes_with_options(
    failed: list[Judgement], played: list[PlayedCase], conventions: Conventions
) -> list[tuple[Suspect, list[Judgement]]]:
    """Mistakes of an option that explain, each alone, every failure in the cases where it can show; with those.

    For a target whose ordinary layer fails too, and has been diagnosed.
    """
    found = []
    with_options = [case for case in played if asks_for_an_option(case.case)]
    for suspect in single_suspects(conventions):
        if suspect.ids[0] not in IDS:
            continue
        cases = [case for case in with_options if suspect.ids[0] in case.case.separates]
        ids = {case.case.id for case in cases}
        here = [judgement for judgement in failed if judgement.case in ids]
        if here and Evidence(cases, conventions).explained_by(suspect):
            found.append((suspect, here))
    return found
