"""Is it chance that a target is right, or wrong? What is read before it is written, and races, show now and then.

Plays that fail are played again: one that is right then is no formula's mistake. Where nothing fails, two cases are
played many times. Whatever was wrong once counts against the target, under the id `not_deterministic`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

from harness.findings import Finding
from harness.judge.judge import judge, place_of
from harness.judge.judgement import Reason, Verdict
from harness.judge.report import PlayedCase, TargetReport, failing
from harness.targets.isolate import IsolatedTarget
from harness.targets.player import Death, Observation, Player
from harness.targets.two_processes import TwoProcesses

NOT_DETERMINISTIC = "not_deterministic"
TEXT = (
    "the same calls give a wrong result now and then, and the right one otherwise: look for memory that is read before "
    "it is written, and for threads that do not wait for each other"
)
TRIES = 3
"""How often a play that failed is repeated: what fails one time in ten is right again but one time in a thousand."""
REPRODUCED = 3
"""After so many failures that came out alike to the bit, the rest is taken to be no chance either."""
MANY_TIMES = ("exact_1024", "many_channels")
"""The cases that are played over and over, in turn: memory still holds what a play before has left in it, and where
that was the same case it may be right. Small; of many values a channel, and of many channels."""
ROUNDS, SECONDS = 30, 1.0
"""How often each, at most, and how long in all. How often a race shows hangs on the machine: this finds the greater
part of what is wrong one time in thirty."""


def play_again(player: Player, report: TargetReport) -> list[PlayedCase]:
    """The plays that were wrong by chance; one that is wrong only now takes the place of the right one in the report.

    A death while a play is repeated is a judgement of the report.
    """
    wrong = [played for played in report.played if failing(played.judgements)]
    if wrong:
        return wrong_by_chance(player, report, wrong)
    many = {played.case.id: played for played in reversed(report.played) if played.case.id in MANY_TIMES}
    failed = wrong_of_many_plays(player, report, [*many.values()])
    return [failed] if failed else []


def wrong_by_chance(player: Player, report: TargetReport, wrong: list[PlayedCase]) -> list[PlayedCase]:
    by_chance: list[PlayedCase] = []
    reproduced = 0
    for played in wrong:
        if is_right_again(player, report, played):
            by_chance.append(played)
        else:
            reproduced += 1
        if reproduced == REPRODUCED or player.given_up:
            break
    return by_chance


def is_right_again(player: Player, report: TargetReport, played: PlayedCase) -> bool:
    for _ in range(TRIES):
        repeated = played_once_more(player, report, played)
        if repeated is None or repeated is played:
            return False
        if not failing(repeated.judgements):
            return True
    return False


def wrong_of_many_plays(player: Player, report: TargetReport, cases: list[PlayedCase]) -> PlayedCase | None:
    """The first of many plays that is wrong, which the report has from now on. None where all are right."""
    for played, answer in plays_in_turn(player, report, cases):
        repeated = judged(report, played, answer)
        if repeated is None:
            return None
        if failing(repeated.judgements):
            put_in_place_of(report, played, repeated)
            return repeated
    return None


def plays_in_turn(
    player: Player, report: TargetReport, cases: list[PlayedCase]
) -> Iterator[tuple[PlayedCase, Observation | Death]]:
    """What the cases give, in turn. Of plays that are alike to the bit only the first may come."""
    assert report.conventions is not None
    axis = report.conventions.channel_axis
    until = time.monotonic() + SECONDS
    plays = cases * ROUNDS
    while plays and time.monotonic() < until:
        if isinstance(player, (IsolatedTarget, TwoProcesses)) and player.repeats:
            scripts = [played.script for played in plays[: len(cases)]]
            answer = player.play_in_turn(scripts, axis, len(plays), until - time.monotonic())
            if isinstance(answer, Death):
                yield plays[0], answer
                return
            yield from ((plays[number], observation) for number, observation in answer.given)
            plays = plays[answer.plays :]
        else:
            yield plays[0], player.play(plays[0].script, axis)
            plays = plays[1:]


def put_in_place_of(report: TargetReport, played: PlayedCase, repeated: PlayedCase) -> None:
    report.played = [repeated if case is played else case for case in report.played]
    before = {id(judgement) for judgement in played.judgements}
    kept = [judgement for judgement in report.judgements if id(judgement) not in before]
    report.judgements = kept + repeated.judgements


def played_once_more(player: Player, report: TargetReport, played: PlayedCase) -> PlayedCase | None:
    """The same script by a new layer: `played` itself where all is as it was, None where the target died of it."""
    assert report.conventions is not None
    return judged(report, played, player.play(played.script, report.conventions.channel_axis))


def judged(report: TargetReport, played: PlayedCase, answer: Observation | Death) -> PlayedCase | None:
    """What a play that is repeated gave, likewise. A death is a judgement of the report."""
    if isinstance(answer, Death):
        place = place_of(played.case, played.dtype)
        message = f"{answer.message}, when it was played again"
        report.judgements.append(place.judgement(Verdict(answer.cause.value), Reason.died, message))
        return None
    if answer.same_as(played.observation):
        return played
    judgements = judge(played.case, played.script, played.expected, answer)
    return replace(played, observation=answer, judgements=judgements)


def finding_of(wrong: list[PlayedCase]) -> Finding:
    """wrong: the plays that were wrong by chance, one at least."""
    first = failing(wrong[0].judgements)[0]
    what = first.observable or first.message or first.reason.value
    where = f"{what} in {first.op or 'building'} of {first.case}, {first.dtype}"
    cases = tuple(dict.fromkeys(played.case.id for played in wrong))
    return Finding(NOT_DETERMINISTIC, f"{TEXT}; {where}", cases)


def without(report: TargetReport, unwanted: list[PlayedCase]) -> TargetReport:
    """The report less some plays, for those that explain the rest."""
    dropped = {id(played) for played in unwanted}
    judgements: set[int] = {id(judgement) for played in unwanted for judgement in played.judgements}
    return replace(
        report,
        played=[played for played in report.played if id(played) not in dropped],
        judgements=[judgement for judgement in report.judgements if id(judgement) not in judgements],
    )
