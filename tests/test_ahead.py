"""While a target's own process plays a case, the next one is prepared and the one before is judged."""

import threading
from concurrent.futures import Future

import pytest

from harness import check as conductor
from harness.ahead import AtOnce, beside, one_early, started
from harness.cases.catalogue import BY_ID, suite
from harness.check import CheckOptions, check
from harness.stopwatch import part, timed
from harness.targets.isolate import IsolatedTarget

CASES = tuple(BY_ID[name] for name in ("rank2", "rank4", "five_steps"))
TARGET = "tests.targets.mutants.moving:MomentumInvertedD2l"
SECONDS = 10
"""After which a test has failed that waits for what does not come."""


def test_the_next_case_is_prepared_and_the_last_one_judged_while_one_is_played(monkeypatch):
    """Each play ends when both are done, which are not done before it has begun."""
    cases = [(case, "float32") for case in CASES]
    last = len(cases) - 1
    playing, prepared, judged = ([threading.Event() for _ in cases] for _ in range(3))
    prepare, judge, play = conductor.prepare, conductor.judge, IsolatedTarget.play
    to_prepare, to_judge, to_play = (iter(range(len(cases))) for _ in range(3))

    def prepare_in_a_play(*arguments):
        number = next(to_prepare)
        assert number == 0 or playing[number - 1].wait(SECONDS)
        prepared[number].set()
        return prepare(*arguments)

    def judge_in_a_play(*arguments):
        number = next(to_judge)
        assert number == last or playing[number + 1].wait(SECONDS)
        judged[number].set()
        return judge(*arguments)

    def play_meanwhile(player, *arguments):
        number = next(to_play)
        playing[number].set()
        assert all(event.wait(SECONDS) for event in [*prepared[: number + 2], *judged[:number]])
        return play(player, *arguments)

    with IsolatedTarget("numpy") as player:
        report = conductor.check_target(player, CheckOptions(()))
        monkeypatch.setattr(conductor, "prepare", prepare_in_a_play)
        monkeypatch.setattr(conductor, "judge", judge_in_a_play)
        monkeypatch.setattr(IsolatedTarget, "play", play_meanwhile)
        judgements = conductor.check_cases(player, cases, CheckOptions(CASES), report)
    assert [played.case for played in report.played] == list(CASES)
    assert judgements == [judgement for played in report.played for judgement in played.judgements]


@pytest.mark.parametrize("target", ["numpy", TARGET, "tests.targets.misbehaving:Exits"])
def test_a_report_is_what_it_is_where_all_is_done_at_once(target, monkeypatch):
    options = CheckOptions(suite("quick"), diagnosed=False)
    (in_a_thread,) = check([target], options)
    monkeypatch.setattr(conductor, "beside", lambda _: AtOnce())
    (at_once,) = check([target], options)
    assert in_a_thread.judgements
    assert repr(in_a_thread.judgements) == repr(at_once.judgements)  # NaN is not itself
    assert [(played.case.id, played.dtype) for played in in_a_thread.played] == [
        (played.case.id, played.dtype) for played in at_once.played
    ]


@pytest.mark.parametrize("name", ["prepare", "judge"])
def test_what_goes_wrong_in_the_thread_ends_the_check(name, monkeypatch):
    def broken(*_):
        raise RuntimeError("no judge")

    monkeypatch.setattr(conductor, name, broken)
    with pytest.raises(RuntimeError, match="no judge"):
        list(check(["numpy"], CheckOptions(CASES)))


@pytest.mark.parametrize("elsewhere", [True, False])
def test_what_is_started_has_the_context_of_who_starts_it(elsewhere):
    def work():
        with part("work"):
            return threading.current_thread() is threading.main_thread()

    with timed() as seconds, beside(elsewhere) as executor:
        here = started(executor, work).result()
    assert here != elsewhere
    assert set(seconds) == {"work"}


@pytest.mark.parametrize("elsewhere", [True, False])
def test_what_goes_wrong_is_raised_where_it_is_waited_for(elsewhere):
    with beside(elsewhere) as executor:
        future = started(executor, lambda: [][0])
        with pytest.raises(IndexError):
            future.result()


def test_one_is_started_before_the_one_before_it_is_given():
    given = []

    def futures():
        for number in range(3):
            given.append(number)
            future = Future()
            future.set_result(number)
            yield future

    ahead = one_early(futures())
    assert (next(ahead).result(), given) == (0, [0, 1])
    assert (next(ahead).result(), given) == (1, [0, 1, 2])
    assert [future.result() for future in ahead] == [2]
    assert list(one_early(iter(()))) == []
