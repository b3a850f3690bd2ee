"""Accuracy over seeds: intervals, equivalence and its opposite, and statistics of a whole training set."""

from __future__ import annotations

import numpy as np
import pytest

from harness.train import trainings
from harness.train.accuracy import accuracy, equivalence, interval, two_one_sided
from harness.train.fashion_mnist import load_sample
from harness.train.implementations import installed
from harness.train.options import TrainingOptions
from harness.train.population import population_statistics
from harness.train.results import BandRow, EpochRecord, Interval, PublishedPlace, TrainingResult
from harness.train.trainings import run
from reference.lenet import LeNet, initial_weights
from reference.training import scaled


def a_run(name, seed, train_accuracy, test_accuracies=(0.7, 0.8)):
    history = tuple(
        EpochRecord(epoch, loss=0.26, train_accuracy=train_accuracy, test_accuracy=value, step_seconds=1, seconds=2)
        for epoch, value in enumerate(test_accuracies, 1)
    )
    return TrainingResult(
        implementation=name,
        seed=seed,
        device="cpu",
        dtype="float32",
        epochs=len(history),
        examples=100,
        loss=0.26,
        train_accuracy=train_accuracy,
        test_accuracy=test_accuracies[-1],
        step_examples_per_second=100,
        examples_per_second=50,
        compile_seconds=0,
        gamma=(1.0,) * 6,
        beta=(0.0,) * 6,
        history=history,
    )


def test_no_interval_is_outside_what_the_quantity_can_be():
    """Student's t of one degree of freedom is 12.7: two seeds would give accuracies from -0.4 to 2.1."""
    (record,) = accuracy([a_run("torch", 0, 0.2, (0.5, 0.75)), a_run("torch", 1, 0.9, (0.5, 0.95))])
    for name in ("train_accuracy", "test_accuracy"):
        assert (record.measures[name].low, record.measures[name].high) == (0.0, 1.0)
    assert record.measures["loss"].low >= 0
    assert (
        accuracy([a_run("torch", seed, 0.9 + seed / 1e3) for seed in range(8)])[0].measures["train_accuracy"].low > 0.9
    )


def test_nor_is_that_of_a_difference():
    runs = [a_run(name, seed, value) for name, values in (("torch", (0.1, 0.9)), ("jax", (0.9, 0.1)))
            for seed, value in enumerate(values)]  # fmt: skip
    (pair,) = equivalence(runs)
    assert (pair.difference, pair.low, pair.high, pair.equivalent) == (0.0, -1.0, 1.0, False)


def test_interval_by_students_t():
    of_three = interval([1.0, 2.0, 3.0])
    assert (of_three.mean, of_three.deviation) == (2.0, 1.0)
    assert of_three.high - 2 == pytest.approx(4.30265 / np.sqrt(3), rel=1e-5)  # t of 2 degrees at 0.975
    assert interval([1.0]) == Interval(mean=1.0, deviation=None, low=None, high=None)


def test_a_band_and_the_published_figure_in_it():
    runs = [a_run("torch", 0, 0.9, (0.6, 0.8)), a_run("torch", 1, 0.9, (0.8, 0.7))]
    (record,) = accuracy(runs)
    assert record.band == (
        BandRow(epoch=1, low=0.6, mean=pytest.approx(0.7), high=0.8),
        BandRow(epoch=2, low=0.7, mean=pytest.approx(0.75), high=0.8),
    )
    assert record.published == PublishedPlace(value=0.739, ends_below=1, ends=2, epochs_below=2, epochs=4)
    assert list(record.measures) == ["loss", "train_accuracy", "test_accuracy"]


@pytest.mark.parametrize(
    ("differences", "equivalent"),
    [
        ([0.0001, -0.0002, 0.0003, -0.0001], True),
        ([0.0061, 0.0059, 0.0060, 0.0062], False),  # plainly different
        ([0.004, -0.004, 0.005, -0.005], False),  # no difference on the average, and too uncertain
        ([-0.0061, -0.0059, -0.0060, -0.0062], False),
        ([0.0, 0.0, 0.0], True),
        ([0.006, 0.006, 0.006], False),
    ],
)
def test_equivalence_is_shown_or_it_is_not(differences, equivalent):
    test = two_one_sided(differences, 0.005)
    assert test.equivalent is equivalent
    assert (test.low > -0.005 and test.high < 0.005) is equivalent  # the same by the 90% interval


def test_pairs_go_by_seed():
    runs = [a_run("numpy", seed, 0.9 + seed / 100) for seed in range(4)]
    runs += [a_run("jax", seed, 0.9 + seed / 100 + 1e-4 * (-1) ** seed) for seed in reversed(range(5))]
    (record,) = equivalence(runs)
    assert (record.a, record.b, record.seeds) == ("numpy", "jax", 4)
    assert record.equivalent  # unpaired, a spread of 0.01 between seeds would hide it
    assert equivalence(runs[:1]) == ()


def test_population_statistics_are_those_of_one_great_batch():
    """Of the first layer exactly: its input does not depend on how the images are batched."""
    images = load_sample().train_images[:2001]  # two batches of unequal size
    weights = initial_weights(2)
    exact = population_statistics(weights, images)
    net = LeNet(weights)
    net.forward(scaled(images, "float64"), training=True)
    for name, rtol in (("bn1", 2e-3), ("bn2", 2e-2)):
        batch_mean = (net.norms[name].moving_mean - 0.9 * 0) / 0.1
        batch_var = (net.norms[name].moving_var - 0.9 * 1) / 0.1
        np.testing.assert_allclose(exact[f"{name}.moving_mean"], batch_mean, rtol=rtol, atol=1e-3)
        np.testing.assert_allclose(exact[f"{name}.moving_var"], batch_var, rtol=rtol, atol=1e-4)
    assert exact["conv1.weight"] is weights["conv1.weight"]
    assert np.array_equal(weights["bn1.moving_mean"], np.zeros(6))


def test_a_kept_run_is_not_trained_again(tmp_path, monkeypatch):
    sample = load_sample()
    few = type(sample)(
        sample.train_images[:300], sample.train_labels[:300], sample.test_images[:100], sample.test_labels[:100], ""
    )
    assert "numpy" in installed()
    options = TrainingOptions("numpy", epochs=1, resume=tmp_path, population=True)
    first = run(few, options)
    assert 0 <= first.population_test_accuracy <= 1
    monkeypatch.setattr(trainings, "train_function", lambda *_: lambda *_, **__: pytest.fail("trained again"))
    assert run(few, options) == first
