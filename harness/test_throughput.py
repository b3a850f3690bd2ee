"""Throughput figures mean something: both clocks run, the wider one is the slower, the losses are the same."""

from dataclasses import replace

import pytest

from harness.train.fashion_mnist import load
from harness.train.trainings import installed, run

IMAGES = 2048


@pytest.fixture(scope="module")
def runs():
    data = load()
    few = replace(
        data,
        train_images=data.train_images[:IMAGES],
        train_labels=data.train_labels[:IMAGES],
        test_images=data.test_images[:512],
        test_labels=data.test_labels[:512],
    )
    return [run(name, few, epochs=2, device="cpu") for name in installed()]


def test_both_clocks_run_and_the_step_is_a_part_of_the_whole(runs, record_property):
    for one in runs:
        record_property(one["implementation"], one["examples_per_second"])
        assert 0 < one["examples_per_second"] <= one["step_examples_per_second"]
        assert len(one["history"]) == 2


def test_speed_counts_only_with_agreement(runs):
    losses = [one["loss"] for one in runs]
    assert max(losses) - min(losses) < 1e-3 * max(losses)
