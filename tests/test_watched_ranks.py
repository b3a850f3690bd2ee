"""A run of several ranks is watched: which one hangs, and of which failure do the others come?"""

import json
import signal
import time

import numpy as np
import pytest
from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

from harness.train.replicas import beats, jax_agent, watch
from harness.train.replicas.agent import first_failure, how
from harness.train.replicas.folder import BEATS, FAILURE


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


def test_a_rank_that_does_not_come_to_its_first_step_is_named():
    rows = beating(3)
    rows[1, beats.CALLS] = 0
    watched = watch.Watch(rows)
    assert watched.who_hangs() == ""
    watched.first_call -= watch.LATE_SECONDS
    assert watched.who_hangs().startswith("rank 1 (process 101) has kept the others waiting for 25 s")
    rows[1, beats.CALLS] = 1
    assert watched.who_hangs() == ""


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


@pytest.mark.parametrize(
    ("exit_codes", "lost", "expected"),
    [
        ({0: 1, 1: -signal.SIGKILL}, {0}, 1),  # killed, and the other lost it
        ({0: -signal.SIGABRT, 2: -signal.SIGKILL}, set(), 2),  # JAX aborts what has lost the others
        ({0: 1, 1: 1}, {0}, 1),  # one raised, the other lost it
        ({0: -signal.SIGABRT, 1: 1}, set(), 1),
    ],
)
def test_the_rank_of_jax_that_the_other_failures_come_of(exit_codes, lost, expected):
    assert jax_agent.first_failure(exit_codes, lost) == expected


RANK_THAT_RAISES = """
import sys, time
if sys.argv[3] == "1":
    raise ValueError("no such pixel")
time.sleep(60)
"""


def test_the_launcher_of_jax_leaves_who_failed_and_ends_the_others(tmp_path, monkeypatch):
    (tmp_path / "rank_that_raises.py").write_text(RANK_THAT_RAISES)
    beats.new_beats(tmp_path / BEATS, 2)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["jax_agent", str(tmp_path), "2", "rank_that_raises"])
    started, start = [], jax_agent.start

    def start_and_keep(*arguments):
        started.append(start(*arguments))
        return started[-1]

    monkeypatch.setattr(jax_agent, "start", start_and_keep)
    with pytest.raises(SystemExit):
        jax_agent.main()
    failed = json.loads((tmp_path / FAILURE).read_text())
    assert failed == {"rank": 1, "how": "ended with exit status 1: ValueError: no such pixel"}
    assert started[0].wait(timeout=5) == -signal.SIGKILL
