"""The NumPy training on a handful of images, step by step: what it visits, what it records, what it gives back."""

from types import SimpleNamespace

import numpy as np
import pytest

from reference import training
from reference.batch_norm import BatchNorm
from reference.conventions import TrainingSettings
from reference.lenet import LeNet, cross_entropy, initial_weights

RNG = np.random.default_rng(0)
DATA = SimpleNamespace(
    train_images=RNG.integers(0, 256, (7, 28, 28), np.uint8),
    train_labels=RNG.integers(0, 10, 7),
    test_images=RNG.integers(0, 256, (5, 28, 28), np.uint8),
    test_labels=RNG.integers(0, 10, 5),
)
ORDERS = np.array([[3, 1, 0, 6, 5], [2, 4, 6, 1, 3]])
WEIGHTS = initial_weights(0)


def pixels(images):
    """(n, 28, 28) bytes -> (1, 28, 28, n) in [0, 1]."""
    return np.moveaxis(images, 0, -1)[None] / np.float64(255)


def by_hand(orders, batch_size, rate, dtype="float64"):
    """(losses, logits) of every step, and the network after the last."""
    net, losses, all_logits = LeNet(WEIGHTS, dtype), [], []
    for order in orders:
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            logits, cache = net.forward(pixels(DATA.train_images[batch]), training=True)
            loss, dlogits = cross_entropy(logits, DATA.train_labels[batch])
            for name, gradient in net.backward(dlogits, cache).items():
                net.parameters[name] -= rate * gradient
            losses.append(float(loss))
            all_logits.append(logits)
    return losses, all_logits, net


def test_a_training_is_plain_gradient_descent_over_the_orders():
    result = training.train(DATA, WEIGHTS, ORDERS, TrainingSettings(0.25, 2, "float64"))
    losses, logits, net = by_hand(ORDERS, 2, 0.25)
    for name, array in net.save_weights().items():
        np.testing.assert_allclose(result["weights"][name], array, rtol=1e-12, atol=1e-14, err_msg=name)
    sizes = np.array([2, 2, 1])
    for epoch, record in enumerate(result["history"]):
        here = slice(3 * epoch, 3 * epoch + 3)
        assert record["epoch"] == epoch + 1
        assert record["loss"] == pytest.approx((np.array(losses[here]) * sizes).sum() / 5, rel=1e-12)
        guesses = np.concatenate([of_step.argmax(axis=0) for of_step in logits[here]])
        assert record["train_accuracy"] == (guesses == DATA.train_labels[ORDERS[epoch]]).mean()
        assert 0 < record["step_seconds"] <= record["seconds"] < 60
    of_test, _ = net.forward(pixels(DATA.test_images), training=False)
    accuracy = (of_test.argmax(axis=0) == DATA.test_labels).mean()
    assert result["history"][-1]["test_accuracy"] == accuracy
    assert {name: result[name] for name in ("device", "dtype", "compile_seconds", "step")} == {
        "device": "cpu", "dtype": "float64", "compile_seconds": 0.0, "step": "NumPy"}  # fmt: skip


def test_what_is_reported_on_the_way(monkeypatch):
    monkeypatch.setattr(training, "PROGRESS_EVERY", 2)
    done, epochs = [], []
    settings = TrainingSettings(
        batch_size=2, first_epoch=3, on_progress=done.append, on_epoch=lambda *given: epochs.append(given)
    )
    result = training.train(DATA, WEIGHTS, ORDERS, settings)
    assert done == [12, 15, 15, 17, 20, 20]  # every second batch, and at the end of an epoch; two epochs came before
    assert [record["epoch"] for record, _ in epochs] == [3, 4]
    assert [record for record, _ in epochs] == result["history"]
    for name, array in epochs[-1][1].items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, result["weights"][name])
    assert not np.array_equal(epochs[0][1]["conv1.weight"], epochs[1][1]["conv1.weight"])
    assert result["dtype"] == "float32"


def test_a_gpu_is_refused():
    with pytest.raises(ValueError, match="NumPy trains on the CPU; device must be 'cpu', got 'cuda'"):
        training.train(DATA, WEIGHTS, ORDERS, TrainingSettings(device="cuda"))


def test_the_norm_that_is_asked_for_is_trained_with():
    class Doubled(BatchNorm):
        def normalize(self, x, mean, var):
            y, cache = super().normalize(x, mean, var)
            return 2 * y, cache

    plain, other = (training.train(DATA, WEIGHTS, ORDERS[:1], norm=norm) for norm in (BatchNorm, Doubled))
    assert plain["history"][0]["loss"] != other["history"][0]["loss"]
    shown = [training.inspect(WEIGHTS, DATA.train_images, DATA.train_labels, norm=n)[1] for n in (BatchNorm, Doubled)]
    assert not np.array_equal(shown[0]["bn1"], shown[1]["bn1"])


def test_gradients_and_activations_of_one_batch():
    images, labels = DATA.train_images[:3], DATA.train_labels[:3]
    gradients, activations = training.inspect(WEIGHTS, images, labels, dtype="float64")
    net = LeNet(WEIGHTS)
    logits, cache = net.forward(pixels(images), training=True)
    for name, gradient in net.backward(cross_entropy(logits, labels)[1], cache).items():
        np.testing.assert_allclose(gradients[name], gradient, rtol=1e-12, atol=1e-15, err_msg=name)
    shapes = {name: array.shape for name, array in activations.items()}
    assert shapes == {"bn1": (3, 6, 24, 24), "bn2": (3, 16, 8, 8), "bn3": (3, 120), "bn4": (3, 84), "dense3": (3, 10)}
    np.testing.assert_array_equal(activations["dense3"], logits.T)
    np.testing.assert_array_equal(activations["bn4"], cache["bn4"][0])
    rows = cache["bn1"][0].T.reshape(6, 24, 24, 3)  # as the layer keeps them: channels, height, width, batch
    np.testing.assert_array_equal(activations["bn1"][2, 5], rows[5, :, :, 2])
    assert training.inspect(WEIGHTS, images, labels)[1]["bn1"].dtype == np.float32


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_pixels_are_scaled_to_one_in_the_dtype_asked_for(dtype):
    scaled = training.scaled(DATA.train_images, dtype)
    assert (scaled.shape, scaled.dtype, scaled.flags["C_CONTIGUOUS"]) == ((1, 28, 28, 7), np.dtype(dtype), True)
    np.testing.assert_array_equal(scaled, (np.moveaxis(DATA.train_images, 0, -1)[None] / 255).astype(dtype))


def test_accuracy_counts_every_image_once():
    net = LeNet(WEIGHTS)
    logits, _ = net.forward(pixels(DATA.test_images), training=False)
    labels = logits.argmax(axis=0)
    labels[0] = (labels[0] + 1) % 10
    for batch_size in (1, 2, 5, 8):
        assert training.evaluate(net, DATA.test_images, labels, batch_size, "float64") == 4 / 5
    np.testing.assert_array_equal(net.save_weights()["bn1.moving_mean"], WEIGHTS["bn1.moving_mean"])
