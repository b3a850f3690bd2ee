"""What a second core does: the page from rounds that are known, and the copy that is its control."""

from __future__ import annotations

import numpy as np

from harness.bench import copying
from harness.bench.worker import COPYING, MATMUL
from tests.experiments.cores import Pair, page


def pair(step: float, product: float, distance: float | None) -> Pair:
    """A round whose step gains `step`, end to end half of that, beside a product that gains `product`."""
    rounds = {
        1: {"step_seconds": 2.0, "seconds": 3.0, "how": "so"},
        2: {"step_seconds": 2.0 / step, "seconds": 6.0 / step, "how": "so, in two threads"},
    }
    rates = {MATMUL: {1: 100.0, 2: 100.0 * product}, COPYING: {1: 5.0, 2: 7.5}}
    return Pair(rounds, rates, distance)


def test_a_training_stands_beside_what_the_machine_gives():
    text = page({"numpy": [pair(1.2, 1.5, 340), pair(1.6, 1.6, 60), pair(1.4, 2.0, None)]}, 6000)
    step, whole = (line for line in text.splitlines() if line.startswith("| numpy"))
    assert "| numpy | so, in two threads | step | 3,000 | 4,200 | **1.40** (1.30 to 1.50) | 1.60 (1.55 to 1.80)" in step
    assert step.endswith("| 1.50 (1.50 to 1.50) | 80% |")  # 1.2/1.5, 1.6/1.6, 1.4/2: the median of the rounds' shares
    assert "| end to end | 2,000 | 1,400 | **0.70** (0.65 to 0.75) |" in whole
    assert "| 1 | 1.20 | 340 | 1.50 |\n| 2 | 1.60 | 60 | 1.60 |\n| 3 | 1.40 | ? | 2.00 |\n" in text


def test_each_thread_copies_its_share(monkeypatch):
    copied = []
    monkeypatch.setattr(copying, "BYTES", 1001)
    monkeypatch.setattr(copying.os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    monkeypatch.setattr(copying.np, "copyto", lambda to, what: copied.append((len(to), len(what))))
    assert copying.copy_rate() > 0
    assert np.sum(copied, 0).tolist() == [1001 * (copying.TRIES + 1)] * 2
    assert set(copied) == {(501, 501), (500, 500)}
