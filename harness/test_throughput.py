"""Throughput figures mean something: they follow from the clocks, the clocks are true, and the losses are the same."""

from dataclasses import replace
from functools import partial
from itertools import pairwise
from time import perf_counter

import pytest

from harness.train import trainings
from harness.train.fashion_mnist import load
from harness.train.implementations import installed
from harness.train.options import TrainingOptions, TrainingProgress
from harness.train.trainings import run

IMAGES, TEST_IMAGES, EPOCHS = 1024, 256, 3


@pytest.fixture(scope="module")
def data():
    whole = load()
    return replace(
        whole,
        train_images=whole.train_images[:IMAGES],
        train_labels=whole.train_labels[:IMAGES],
        test_images=whole.test_images[:TEST_IMAGES],
        test_labels=whole.test_labels[:TEST_IMAGES],
    )


@pytest.fixture(scope="module")
def timed_runs(data):
    """Each implementation's result, and when each of its epochs ended by a clock of our own."""
    timed = []
    for name in installed():
        ends: list[float] = []
        progress = TrainingProgress(on_epoch=partial(mark_end, ends))
        timed.append((run(data, TrainingOptions(name, EPOCHS, device="cpu"), progress), ends))
    return timed


def mark_end(ends, _record):
    ends.append(perf_counter())


def test_both_figures_are_examples_over_the_seconds_of_all_epochs(data, monkeypatch):
    """By a training whose clocks say 1 and 3 s for its steps, 2 and 6 s for its epochs."""

    def train(_data, weights, orders, settings):
        record = {"loss": 1.0, "train_accuracy": 0.5, "test_accuracy": 0.5}
        times = [{"epoch": 1, "step_seconds": 1.0, "seconds": 2.0}, {"epoch": 2, "step_seconds": 3.0, "seconds": 6.0}]
        history = [record | clocks for clocks in times[: len(orders)]]
        for epoch in history:
            settings.on_epoch(epoch, weights)
        facts = {"device": "cpu", "dtype": "float32", "compile_seconds": 100.0, "step": "none"}
        return {"history": history, "weights": weights} | facts

    monkeypatch.setattr(trainings, "train_function", lambda *_: train)
    result = run(data, TrainingOptions("numpy", epochs=2))
    assert result.step_examples_per_second == 2 * IMAGES / 4
    assert result.examples_per_second == 2 * IMAGES / 8


def test_the_clocks_are_true(timed_runs, request):
    """An epoch takes what it says, by a clock outside; and forward and backward are most of it, evaluation is not.

    The greatest share of several epochs is what counts: a busy machine may stop a training at any moment.
    """
    for result, ends in timed_runs:
        name = result.implementation
        request.node.user_properties.append((name, result.examples_per_second))
        outside = [end - start for start, end in pairwise(ends)]
        inside = [record.seconds for record in result.history[1:]]
        assert all(0 < own <= total for own, total in zip(inside, outside, strict=True)), name
        assert max(own / total for own, total in zip(inside, outside, strict=True)) > 0.8, name
        shares = [record.step_seconds / record.seconds for record in result.history]
        assert max(shares) <= 1, name
        assert max(shares) > 0.6, name


def test_speed_counts_only_with_agreement(timed_runs):
    losses = [result.loss for result, _ in timed_runs]
    assert max(losses) - min(losses) < 1e-3 * max(losses)
