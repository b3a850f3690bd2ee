"""Throughput: the baseline is the tutorial's loop and trains the same, and the figures decide only what they can."""

from __future__ import annotations

import itertools
import math
import os
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from harness.bench import throughput
from harness.bench.throughput import AGAIN, BASELINE, RESIDENT, Contestant, compare, decision, spread
from harness.errors import UsageError
from harness.train.fashion_mnist import load_sample
from reference import training as numpy_training
from reference.lenet import initial_weights

pytest.importorskip("torch")
pytest.importorskip("torchvision")

from impls.third_party import tutorial_training


@pytest.fixture(scope="module")
def data():
    found = load_sample()
    return SimpleNamespace(
        train_images=found.train_images[::100][:40],
        train_labels=found.train_labels[::100][:40],
        test_images=found.test_images[::40],
        test_labels=found.test_labels[::40],
    )


@pytest.mark.parametrize(
    "options",
    [{"workers": 0}, {"workers": 0, "native": True}, {"resident": True}, {"resident": True, "native": True}],
)
def test_the_tutorials_loop_is_the_same_training(data, options):
    orders = np.stack([np.random.default_rng(e).permutation(40) for e in range(2)])
    ours = numpy_training.train(data, initial_weights(1), orders, batch_size=16, dtype="float64")
    theirs = tutorial_training.train(data, initial_weights(1), orders, batch_size=16, dtype="float64", **options)
    # ToTensor gives float32 pixels, whatever the network's dtype
    tolerance = 1e-10 if options.get("resident") else 2e-5
    for name, array in ours["weights"].items():
        if not (options.get("native") and name.endswith("moving_var")):  # unbiased, as declared
            np.testing.assert_allclose(theirs["weights"][name], array, rtol=0, atol=tolerance, err_msg=name)
    for one, other in zip(ours["history"], theirs["history"], strict=True):
        assert other["loss"] == pytest.approx(one["loss"], abs=tolerance)
        assert other["train_accuracy"] == one["train_accuracy"]
        assert 0 < other["step_seconds"] <= other["seconds"]


def rounds(seconds, loss=1.0, **changes):
    record = {"loss": loss, "cpu_seconds": 1.0, "compile_seconds": 0.5, "memory_mb": 1.0, "threads": 1}
    record |= {"device": "cpu", "how": "eager", "core_distance_ns": None} | changes
    return [record | {"seconds": value, "step_seconds": value / 2} for value in [99.0, *seconds]]  # the first warms up


def by_name(records, clock="end_to_end"):
    return {one["name"]: one for one in records if one["clock"] == clock}


def test_ratios_are_paired_within_rounds_and_warm_up_is_left_out():
    base = [1.0, 10.0, 2.0]  # the machine is slow in the second round: both contestants are
    found = {BASELINE: rounds(base), AGAIN: rounds(base), "torch": rounds([0.25, 2.5, 0.5])}
    one = by_name(compare(found, 6000, 1e11))["torch"]
    assert one["ratio"] == {"median": 4.0, "low": 4.0, "high": 4.0}
    assert one["decision"] == "faster"
    assert one["examples_per_second"] == 6000 / 0.5
    assert one["limit_share"] == pytest.approx(12000 * 1.517e6 / 1e11, rel=1e-3)
    assert (one["aim"], one["met"]) == (3.0, True)


def test_a_claim_within_the_controls_spread_is_inconclusive():
    base = [1.0] * 8
    found = {BASELINE: rounds(base), AGAIN: rounds([1.0, 1.5] * 4), "torch": rounds([0.8] * 8)}
    one = by_name(compare(found, 6000, 1e11))["torch"]
    assert one["ratio"]["median"] == pytest.approx(1.25)
    assert one["decision"] == "INCONCLUSIVE"
    assert one["met"] is None
    assert decision(spread([0.5, 0.9, 1.1, 4.0]), spread([1.0, 1.0])) == "INCONCLUSIVE"  # on both sides of 1
    assert decision(spread([0.5, 0.5]), spread([1.0, 1.01])) == "slower"


@pytest.mark.parametrize("loss", [1.01, math.nan])
def test_speed_without_agreement_does_not_count(loss):
    found = {BASELINE: rounds([1.0, 1.0]), AGAIN: rounds([1.0, 1.0]), "jax": rounds([0.1, 0.1], loss=loss)}
    one = by_name(compare(found, 6000, 1e11))["jax"]
    assert (one["decision"], one["met"]) == ("DISAGREES", None)


def test_the_step_is_held_against_the_loop_with_resident_data():
    found = {BASELINE: rounds([4.0, 4.0]), AGAIN: rounds([4.0, 4.0]), RESIDENT: rounds([2.0, 2.0])}
    found["numpy"] = rounds([1.0, 1.0])
    one = by_name(compare(found, 6000, 1e11), "step")["numpy"]
    assert (one["against"], one["ratio"]["median"]) == (RESIDENT, 2.0)


def test_rounds_with_near_cores_are_told_apart():
    """Near to within 1.5 times the least distance of the run, in both turns: here in the second round alone."""
    base, ours = rounds([4.0, 4.0, 4.0]), rounds([2.0, 1.0, 2.0])
    for one, ns in zip(base, (350, 180, 190, 340), strict=True):
        one["core_distance_ns"] = ns
    for one, ns in zip(ours, (180, 350, 200, 180), strict=True):
        one["core_distance_ns"] = ns
    one = by_name(compare({BASELINE: base, AGAIN: base, "torch": ours}, 6000, 1e11))["torch"]
    assert (one["ratio"]["median"], one["ratio_near"]["median"], one["rounds_near"]) == (2.0, 4.0, 1)
    assert one["core_distance_ns"] == spread([350, 200, 180])


def test_distances_that_cannot_be_measured_leave_the_ratio():
    found = {BASELINE: rounds([1.0, 1.0]), AGAIN: rounds([1.0, 1.0]), "torch": rounds([0.25, 0.25])}
    one = by_name(compare(found, 6000, 1e11))["torch"]
    assert one["ratio"]["median"] == 4.0
    assert (one["ratio_near"], one["rounds_near"], one["core_distance_ns"]) == (None, 0, None)


def test_the_distance_of_cores_is_some_hundred_nanoseconds():
    code = "from harness.bench.core_distance import core_distance; print(core_distance())"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    if len(getattr(os, "sched_getaffinity", lambda _: [0])(0)) < 2:
        assert found == "None"
    else:
        assert 20 < float(found) < 1e5


def test_contestants_run_in_turn_and_the_turn_is_reversed(monkeypatch):
    """Two rounds of real processes, on few images."""
    found = load_sample()
    few = replace(found, train_images=found.train_images[:256], train_labels=found.train_labels[:256])
    monkeypatch.setattr(throughput, "TEST_IMAGES", 64)
    numpy = throughput.CONTESTANTS["numpy"]
    chosen = {BASELINE: numpy, AGAIN: numpy, "numpy": numpy}  # what starts fast
    turns = []
    result = throughput.measure(
        few, rounds=2, contestants=chosen, on_round=lambda number, name: turns.append((number, name))
    )
    order = [BASELINE, AGAIN, "numpy"]
    assert turns == list(itertools.chain(*[[(n, name) for name in order[:: 1 if n % 2 else -1]] for n in range(3)]))
    records = by_name(result["records"])
    assert set(records) == set(order)
    for one in records.values():
        assert one["decision"] != "DISAGREES"
        assert one["rounds"] == 2
        assert one["memory_mb"] > 10
        assert 0 < one["limit_share"] < 1
    assert all(one["cpu_seconds"] > 0 for one in result["rounds"]["numpy"])


def test_a_contestant_that_fails_says_which_and_why(monkeypatch):
    found = load_sample()
    few = replace(found, train_images=found.train_images[:32], train_labels=found.train_labels[:32])
    bad = Contestant("reference.training", ("numpy",), {"no_such": 1})
    with pytest.raises(UsageError, match=r"numpy: TypeError: .*no_such"):
        throughput.measure(few, rounds=1, contestants={BASELINE: bad, AGAIN: bad, "numpy": bad} | {"numpy": bad})
    monkeypatch.setattr(throughput.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match="pip install torch torchvision"):
        throughput.measure(few, rounds=1)


def test_peak_memory_is_the_workers_own_and_not_what_its_parent_holds():
    held = np.ones(400_000_000, np.uint8)
    told = "from harness.bench.worker import peak_memory_mb; print(peak_memory_mb())"
    ran = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert float(ran.stdout) < held.nbytes / 1e6
