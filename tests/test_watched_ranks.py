"""A run of several ranks is watched: which one hangs, and of which failure do the others come?"""

import signal
import time

import numpy as np
import pytest
from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

from harness.train.replicas import beats, watch
from harness.train.replicas.agent import first_failure, how


def beating(ranks, calls=1.0, in_call=0.0):
    rows = np.zeros((ranks, len(beats.COLUMNS)))
    rows[:, beats.PID], rows[:, beats.BEAT] = np.arange(ranks) + 100, time.monotonic()
    rows[:, beats.CALLS], rows[:, beats.IN_CALL] = calls, in_call
    return rows


def test_ranks_that_beat_and_go_on_do_not_hang():
    rows = beating(3)
    watched = watch.Watch(rows)
    for _ in range(3):
        rows[:, beats.CALLS] += 1
        assert watched.who_hangs() == ""


def test_a_rank_that_does_not_run_is_named():
    rows = beating(3)
    rows[1, beats.BEAT] -= watch.SILENT_SECONDS + 1
    assert watch.Watch(rows).who_hangs().startswith("rank 1 (process 101) has not run for 21 s")


def test_a_rank_that_is_stopped_is_named_earlier(monkeypatch):
    rows = beating(2)
    rows[1, beats.BEAT] -= watch.STOPPED_SECONDS + 1
    assert watch.Watch(rows).who_hangs() == ""
    monkeypatch.setattr(watch, "is_stopped", lambda pid: pid == 101)
    assert watch.Watch(rows).who_hangs().startswith("rank 1 (process 101) has not run for 4 s")


def test_a_rank_that_has_not_begun_to_beat_is_still_starting():
    rows = beating(2)
    rows[1] = 0
    watched = watch.Watch(rows)
    watched.since -= 2 * watch.STUCK_SECONDS
    assert watched.who_hangs() == ""


def test_a_rank_that_keeps_the_others_waiting_is_named():
    rows = beating(3, calls=7.0, in_call=1.0)
    rows[2, beats.CALLS], rows[2, beats.IN_CALL] = 6.0, 0.0
    watched = watch.Watch(rows)
    assert watched.who_hangs() == ""
    watched.since -= watch.STUCK_SECONDS
    assert watched.who_hangs().startswith("rank 2 (process 102) has kept the others waiting")


def failure(rank, exitcode, timestamp):
    made = ProcessFailure(local_rank=rank, pid=100 + rank, exitcode=exitcode, error_file="<N/A>")
    made.timestamp = timestamp
    return made


@pytest.mark.parametrize(
    ("exit_codes", "lost", "expected"),
    [
        ({0: 1, 1: -signal.SIGKILL}, {0}, 1),  # killed, and the other lost it
        ({0: -signal.SIGTERM, 1: -signal.SIGKILL}, set(), 1),  # the launcher has ended rank 0 by then
        ({0: 1, 1: 1, 2: 1}, {0, 2}, 1),  # one raised, the others lost it
        ({0: 1, 1: -signal.SIGTERM}, {0}, 1),  # somebody ended rank 1
        ({0: 1, 1: -signal.SIGTERM}, set(), 0),  # rank 0 raised, and the launcher ended rank 1
    ],
)
def test_the_failure_that_the_others_come_of(exit_codes, lost, expected):
    failures = {rank: failure(rank, code, timestamp=rank) for rank, code in exit_codes.items()}
    assert first_failure(failures, lost)[0] == expected


def test_how_a_rank_failed_is_told_in_one_line():
    assert how(failure(1, -signal.SIGKILL, 0)) == "was ended by SIGKILL"
    raised = failure(1, 1, 0)
    raised.message = {"message": "ValueError: no such pixel", "extraInfo": {"py_callstack": "..."}}
    assert how(raised) == "ended with exit status 1: ValueError: no such pixel"
    raised.message = "To enable traceback\n see: ..."
    assert how(raised) == "ended with exit status 1: To enable traceback see: ..."
