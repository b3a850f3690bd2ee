"""The cases of a target in two processes: each plays its own, and the outcomes are what one process would have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from threading import Event

from harness.ahead import meanwhile
from harness.cases.case import Case
from harness.judge.judge import place_of
from harness.judge.judgement import Judgement, Reason, Verdict
from harness.judge.report import PlayedCase
from harness.stopwatch import part, untimed
from harness.targets.isolate import DEATHS_ALLOWED
from harness.targets.load import TargetError
from harness.targets.two_processes import TwoProcesses

Outcome = Judgement | Future[PlayedCase]
"""Of a case: why it is not judged, or how it is."""

Pairs = Sequence[tuple[Case, str]]
"""(case, dtype)."""


def play_in_two(player: TwoProcesses, cases: Pairs, play: Callable[..., list[Outcome]]) -> list[Outcome]:
    """play(player, cases, goes_on) -> the outcomes in this order; goes_on() is asked before each."""
    deaths = player.deaths
    second = player.divide()
    if second is None:
        return play(player, cases)
    firsts, seconds = (
        [pair for pair in cases if player.is_seconds(pair[0].shape) == by_second] for by_second in (False, True)
    )
    broken_off = Event()

    def play_by_second() -> list[Outcome] | None:
        with untimed():
            try:
                second.describe()
            except TargetError:  # one that can be loaded once at a time
                return None
            return play(second, seconds, lambda: not broken_off.is_set())

    def break_off() -> None:
        broken_off.set()
        second.close()

    with meanwhile(play_by_second, break_off) as playing:
        of_first = play(player.first, firsts)
        with part("play"):
            of_second = playing.result()
    if of_second is None:
        of_second = play(player.first, seconds)
    in_turn = {False: iter(of_first), True: iter(of_second)}
    outcomes = [next(in_turn[player.is_seconds(case.shape)]) for case, _ in cases]
    return until_given_up(outcomes, cases, deaths)


def until_given_up(outcomes: Iterable[Outcome], cases: Pairs, deaths: int) -> list[Outcome]:
    """A target is given up after its deaths in this order, whichever process died first. deaths: those before."""
    kept: list[Outcome] = []
    for outcome, (case, dtype) in zip(outcomes, cases, strict=True):
        judgement = outcome if isinstance(outcome, Judgement) else None
        is_refused = judgement is not None and judgement.verdict is Verdict.unsupported
        if deaths >= DEATHS_ALLOWED and not is_refused:
            kept.append(given_up(case, dtype, deaths))
            continue
        kept.append(outcome)
        deaths += judgement is not None and judgement.reason is Reason.died
    return kept


def given_up(case: Case, dtype: str, deaths: int) -> Judgement:
    message = f"given up after {deaths} deaths or hangs"
    return place_of(case, dtype).judgement(Verdict.not_run, Reason.given_up, message)
