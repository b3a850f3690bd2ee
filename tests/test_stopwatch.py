"""Where the time of a check goes, by part."""

from __future__ import annotations

import time

from harness.bench import suite
from harness.bench.suite import PARTS
from harness.stopwatch import part, timed


def test_parts_are_timed_where_somebody_asks_and_added_up():
    with part("play"):  # nobody asks
        pass
    with timed() as seconds:
        for _ in range(2):
            with part("play"):
                time.sleep(0.01)
        try:
            with part("judge"):
                raise ValueError
        except ValueError:
            pass
    assert 0.02 <= seconds["play"] < 5
    assert set(seconds) == {"play", "judge"}


def test_a_check_names_the_parts_of_its_work(monkeypatch):
    seen = []
    monkeypatch.setattr(suite, "timed", lambda: recorded(seen))
    (record,) = suite.measure(["tests.targets.mutants.moving:MomentumInvertedD2l"], "quick", 1)
    (of_round,) = seen
    assert set(of_round) == set(PARTS) == set(record.parts)
    assert all(record.parts[name] > 0 for name in PARTS)
    assert 0.2 * record.seconds < sum(record.parts.values()) <= record.seconds


def recorded(seen):
    watch = timed()

    class Kept:
        def __enter__(self):
            seen.append(watch.__enter__())
            return seen[-1]

        def __exit__(self, *error):
            return watch.__exit__(*error)

    return Kept()
