"""A run of several ranks is watched: which one hangs, and of which failure do the others come?"""

import json
import os
import signal
import threading
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


def test_a_rank_that_the_machine_is_too_busy_for_does_not_hang(monkeypatch):
    taken = {100: 0.0, 101: 0.0}
    monkeypatch.setattr(watch, "processor_seconds", taken.get)
    monkeypatch.setattr(watch, "would_run", lambda _: True)
    rows = beating(2, calls=7.0, in_call=1.0)
    rows[1, beats.CALLS] = 6.0
    watched = watch.Watch(rows)
    assert watched.who_hangs() == ""
    watched.since -= watch.STUCK_SECONDS
    taken[101] = 1.0
    assert watched.who_hangs() == ""
    taken[101] = watch.STUCK_SECONDS  # it has had a processor, and goes round in a loop
    assert watched.who_hangs().startswith("rank 1 (process 101) has kept the others waiting")


def test_a_rank_that_cannot_beat_on_a_busy_machine_does_not_hang(monkeypatch):
    ready = {100: True, 101: True}
    monkeypatch.setattr(watch, "processor_seconds", lambda _: 3.0)
    monkeypatch.setattr(watch, "would_run", ready.get)
    rows = beating(2)
    watched = watch.Watch(rows)
    assert watched.who_hangs() == ""
    rows[1, beats.BEAT] -= watch.SILENT_SECONDS + 1
    assert watched.who_hangs() == ""
    ready[101] = False
    assert watched.who_hangs().startswith("rank 1 (process 101) has not run for 21 s")


def test_whether_a_process_would_run_can_be_told():
    assert watch.would_run(os.getpid())
    assert not watch.would_run(2**30)


def test_a_rank_that_does_nothing_at_its_start_is_named(monkeypatch):
    taken, ready = {100: 5.0, 101: 5.0, 102: 5.0}, {100: False, 101: False, 102: True}
    monkeypatch.setattr(watch, "processor_seconds", taken.get)
    monkeypatch.setattr(watch, "would_run", ready.get)
    rows = beating(3, calls=0.0)
    rows[0, beats.IN_CALL] = 1  # it waits for the others
    watched = watch.Watch(rows)
    assert watched.who_hangs() == ""
    watched.at_work = {rank: (since - watch.IDLE_SECONDS, before) for rank, (since, before) in watched.at_work.items()}
    taken[101] += 2 * watch.IDLE_WORK  # it compiles
    assert watched.who_hangs() == ""
    watched.at_work = {rank: (since - watch.IDLE_SECONDS, before) for rank, (since, before) in watched.at_work.items()}
    taken[101] += 2 * watch.IDLE_WORK
    ready[102] = False
    assert watched.who_hangs().startswith("rank 2 (process 102) has done nothing for 50 s at its start")
    rows[2, beats.CALLS] = 1
    assert watched.who_hangs() == ""


def test_how_long_a_process_has_worked_can_be_told():
    assert watch.processor_seconds(os.getpid()) == pytest.approx(time.process_time(), abs=1.0)
    assert watch.processor_seconds(2**30) is None


def test_ranks_wait_until_all_are_ready():
    rows = beating(2)
    waiting = threading.Thread(target=beats.wait_until_all_are_ready, args=(rows, 0), daemon=True)
    waiting.start()
    waiting.join(timeout=0.1)
    assert waiting.is_alive()
    assert rows[0, beats.IN_CALL] == 1
    beats.wait_until_all_are_ready(rows, 1)
    waiting.join(timeout=5)
    assert not waiting.is_alive()
    assert not rows[:, beats.IN_CALL].any()


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
