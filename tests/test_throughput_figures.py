"""Throughput: the baseline is the tutorial's loop and trains the same, and the figures decide only what they can."""

from __future__ import annotations

import itertools
import math
import os
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest

from harness.bench import throughput
from harness.bench.figures import AGAIN, BASELINE, RESIDENT, compare, decide, spread
from harness.bench.options import ThroughputOptions
from harness.bench.results import Clock, Decision, Round, Spread
from harness.bench.throughput import Contestant
from harness.errors import UsageError
from harness.train.fashion_mnist import load_sample
from reference import training as numpy_training
from reference.conventions import TrainingSettings
from reference.lenet import initial_weights

pytest.importorskip("torch")
if find_spec("torchvision") is None:  # to import it takes longer than all tests of this file
    pytest.skip("needs torchvision: pip install torchvision", allow_module_level=True)

from impls.third_party import tutorial_training


@pytest.fixture(scope="module")
def data():
    sample = load_sample()
    return SimpleNamespace(
        train_images=sample.train_images[::100][:40],
        train_labels=sample.train_labels[::100][:40],
        test_images=sample.test_images[::40],
        test_labels=sample.test_labels[::40],
    )


@pytest.mark.parametrize(
    "options",
    [{"workers": 0}, {"workers": 0, "native": True}, {"resident": True}, {"resident": True, "native": True}],
)
def test_the_tutorials_loop_is_the_same_training(data, options):
    orders = np.stack([np.random.default_rng(e).permutation(40) for e in range(2)])
    settings = TrainingSettings(batch_size=16, dtype="float64")
    ours = numpy_training.train(data, initial_weights(1), orders, settings)
    theirs = tutorial_training.train(data, initial_weights(1), orders, settings, **options)
    # ToTensor gives float32 pixels, whatever the network's dtype
    tolerance = 1e-10 if options.get("resident") else 2e-5
    for name, array in ours["weights"].items():
        if not (options.get("native") and name.endswith("moving_var")):  # unbiased, as declared
            np.testing.assert_allclose(theirs["weights"][name], array, rtol=0, atol=tolerance, err_msg=name)
    for expected, record in zip(ours["history"], theirs["history"], strict=True):
        assert record["loss"] == pytest.approx(expected["loss"], abs=tolerance)
        assert record["train_accuracy"] == expected["train_accuracy"]
        assert 0 < record["step_seconds"] <= record["seconds"]


def rounds(seconds, loss=1.0, distances=None):
    """Rounds of one contestant, after one that warms up. distances: of the cores, that of the warm-up included."""
    seconds = [99.0, *seconds]
    return tuple(
        Round(
            epoch=1,
            loss=loss,
            train_accuracy=0.5,
            test_accuracy=0.5,
            step_seconds=value / 2,
            seconds=value,
            call_seconds=value,
            cpu_seconds=1.0,
            compile_seconds=0.5,
            device="cpu",
            how="eager",
            threads=1,
            memory_mb=1.0,
            core_distance_ns=ns,
        )
        for value, ns in zip(seconds, distances or [None] * len(seconds), strict=True)
    )


def by_name(records, clock=Clock.END_TO_END):
    return {record.name: record for record in records if record.clock == clock}


def test_ratios_are_paired_within_rounds_and_warm_up_is_left_out():
    base = [1.0, 10.0, 2.0]  # the machine is slow in the second round: both contestants are
    played = {BASELINE: rounds(base), AGAIN: rounds(base), "torch": rounds([0.25, 2.5, 0.5])}
    record = by_name(compare(played, 6000, 1e11))["torch"]
    assert record.ratio == Spread(median=4.0, low=4.0, high=4.0)
    assert record.decision == Decision.FASTER
    assert record.examples_per_second == 6000 / 0.5
    assert record.limit_share == pytest.approx(12000 * 1.517e6 / 1e11, rel=1e-3)
    assert (record.aim, record.met) == (3.0, True)


def test_a_claim_within_the_controls_spread_is_inconclusive():
    base = [1.0] * 8
    played = {BASELINE: rounds(base), AGAIN: rounds([1.0, 1.5] * 4), "torch": rounds([0.8] * 8)}
    record = by_name(compare(played, 6000, 1e11))["torch"]
    assert record.ratio.median == pytest.approx(1.25)
    assert record.decision == Decision.INCONCLUSIVE
    assert record.met is None
    assert decide(spread([0.5, 0.9, 1.1, 4.0]), spread([1.0, 1.0])) == Decision.INCONCLUSIVE  # on both sides of 1
    assert decide(spread([0.5, 0.5]), spread([1.0, 1.01])) == Decision.SLOWER


@pytest.mark.parametrize("loss", [1.01, math.nan])
def test_speed_without_agreement_does_not_count(loss):
    played = {BASELINE: rounds([1.0, 1.0]), AGAIN: rounds([1.0, 1.0]), "jax": rounds([0.1, 0.1], loss=loss)}
    record = by_name(compare(played, 6000, 1e11))["jax"]
    assert (record.decision, record.met) == (Decision.DISAGREES, None)


def test_the_step_is_held_against_the_loop_with_resident_data():
    played = {BASELINE: rounds([4.0, 4.0]), AGAIN: rounds([4.0, 4.0]), RESIDENT: rounds([2.0, 2.0])}
    played["numpy"] = rounds([1.0, 1.0])
    record = by_name(compare(played, 6000, 1e11), Clock.STEP)["numpy"]
    assert (record.against, record.ratio.median) == (RESIDENT, 2.0)


def test_rounds_with_near_cores_are_told_apart():
    """Near to within 1.5 times the least distance of the run, in both turns: here in the second round alone."""
    base = rounds([4.0, 4.0, 4.0], distances=(350, 180, 190, 340))
    ours = rounds([2.0, 1.0, 2.0], distances=(180, 350, 200, 180))
    record = by_name(compare({BASELINE: base, AGAIN: base, "torch": ours}, 6000, 1e11))["torch"]
    assert (record.ratio.median, record.ratio_near.median, record.rounds_near) == (2.0, 4.0, 1)
    assert record.core_distance_ns == spread([350, 200, 180])


def test_distances_that_cannot_be_measured_leave_the_ratio():
    played = {BASELINE: rounds([1.0, 1.0]), AGAIN: rounds([1.0, 1.0]), "torch": rounds([0.25, 0.25])}
    record = by_name(compare(played, 6000, 1e11))["torch"]
    assert record.ratio.median == 4.0
    assert (record.ratio_near, record.rounds_near, record.core_distance_ns) == (None, 0, None)


def test_the_distance_of_cores_is_some_hundred_nanoseconds():
    code = "from harness.bench.core_distance import core_distance; print(core_distance())"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    if len(getattr(os, "sched_getaffinity", lambda _: [0])(0)) < 2:
        assert printed == "None"
    else:
        assert 20 < float(printed) < 1e5


def few_images(count):
    sample = load_sample()
    return replace(sample, train_images=sample.train_images[:count], train_labels=sample.train_labels[:count])


def test_contestants_run_in_turn_and_the_turn_is_reversed(monkeypatch):
    """Two rounds of real processes, on few images."""
    monkeypatch.setattr(throughput, "TEST_IMAGES", 64)
    numpy = throughput.CONTESTANTS["numpy"]
    chosen = {BASELINE: numpy, AGAIN: numpy, "numpy": numpy}  # what starts fast
    turns = []
    measured = throughput.measure(
        few_images(256),
        ThroughputOptions(rounds=2),
        chosen,
        on_round=lambda number, name: turns.append((number, name)),
    )
    order = [BASELINE, AGAIN, "numpy"]
    assert turns == list(itertools.chain(*[[(n, name) for name in order[:: 1 if n % 2 else -1]] for n in range(3)]))
    records = by_name(measured.records)
    assert set(records) == set(order)
    for record in records.values():
        assert record.decision != Decision.DISAGREES
        assert record.rounds == 2
        assert record.memory_mb > 10
        assert 0 < record.limit_share < 1
    assert len(measured.rounds["numpy"]) == 3
    assert all(0 < played.step_seconds <= played.seconds <= played.call_seconds for played in measured.rounds["numpy"])
    assert all(played.cpu_seconds > 0 for played in measured.rounds["numpy"])


def test_a_contestant_that_fails_says_which_and_why(monkeypatch):
    data = few_images(32)
    bad = Contestant("reference.training", ("numpy",), {"no_such": True})
    with pytest.raises(UsageError, match=r"numpy: TypeError: .*no_such"):
        throughput.measure(data, ThroughputOptions(rounds=1), {BASELINE: bad, AGAIN: bad, "numpy": bad})
    monkeypatch.setattr(throughput.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match="pip install torch torchvision"):
        throughput.measure(data, ThroughputOptions(rounds=1))


def test_without_shared_memory_it_is_said_what_to_do(monkeypatch):
    assert throughput.what_is_missing() == ""

    def none_left():
        raise OSError(2, "No such file or directory")

    monkeypatch.setattr(throughput.multiprocessing, "Semaphore", none_left)
    assert "mount a tmpfs at /dev/shm" in throughput.what_is_missing()
    with pytest.raises(UsageError, match="read by processes that share memory"):
        throughput.measure(few_images(32), ThroughputOptions(rounds=1))


def test_peak_memory_is_the_workers_own_and_not_what_its_parent_holds():
    held = np.ones(400_000_000, np.uint8)
    code = "from harness.bench.worker import peak_memory_mb; print(peak_memory_mb())"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(ran.stdout) < held.nbytes / 1e6
