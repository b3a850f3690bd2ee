"""The JAX/Flax network: its two convolutions are one function, its training is the reference's."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from reference.conventions import TrainingSettings
from reference.lenet import initial_weights
from reference.training import train as reference_train

jax = pytest.importorskip("jax")
nnx = pytest.importorskip("flax.nnx")

import jax.numpy as jnp  # noqa: E402  (after the skip)

from impls.jax_flax import lenet, tiled_lenet, training  # noqa: E402


def assert_close(got, want, tolerance=1e-12):
    """Within `tolerance` of the largest expected value."""
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * max(np.abs(want).max(), 1e-300))


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


def plain_convolution(x, weight):
    """By XLA's own convolution."""
    return jax.lax.conv_general_dilated(x, weight, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))


CONVOLUTIONS = (lenet.convolution, plain_convolution)


@partial(jax.jit, static_argnums=0)
def value_and_gradients(function, x, weight, dy):
    y, backward = jax.vjp(function, x, weight)
    return y, *backward(dy)


@pytest.mark.usefixtures("x64")
def test_banded_convolution_is_the_plain_one():
    rng = np.random.default_rng(6)
    for x_shape, weight_shape in [((3, 28, 28, 1), (5, 5, 1, 6)), ((3, 12, 11, 6), (5, 5, 6, 16))]:
        x, weight = jnp.asarray(rng.normal(size=x_shape)), jnp.asarray(rng.normal(size=weight_shape))
        dy = jnp.asarray(rng.normal(size=(3, x.shape[1] - 4, x.shape[2] - 4, weight.shape[-1])))
        banded, plain = (value_and_gradients(f, x, weight, dy) for f in CONVOLUTIONS)
        for g, w in zip(banded, plain, strict=True):
            assert_close(g, w)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    ("tile", "x_shape", "weight_shape"), [(4, (1, 28, 28, 3), (5, 5, 1, 2)), (2, (3, 12, 12, 2), (5, 5, 3, 4))]
)
def test_convolution_of_tiles_is_the_banded_one(tile, x_shape, weight_shape):
    rng = np.random.default_rng(6)
    x, weight = rng.normal(size=x_shape), jnp.asarray(rng.normal(size=weight_shape))
    C, H, W, N = x.shape
    tiles = jnp.asarray(x.reshape(C, H // tile, tile, W // tile, tile, N).transpose(0, 2, 4, 1, 3, 5))
    y = tiled_lenet.untiled(tiled_lenet.convolution(tiles, weight))
    assert_close(y, lenet.convolution(jnp.asarray(x.transpose(3, 1, 2, 0)), weight))


@pytest.mark.usefixtures("x64")
def test_the_network_of_a_gpu_and_of_seeds_is_that_of_the_cpu(monkeypatch):
    data, weights = random_data(12), random_weights()
    arguments = weights, data.train_images[:12], data.train_labels[:12]
    here = training.inspect(*arguments, dtype="float64")
    monkeypatch.setattr(training, "TiledLeNet", lenet.LeNet)
    there = training.inspect(*arguments, dtype="float64")
    for ours, theirs in zip(here, there, strict=True):
        assert ours.keys() == theirs.keys()
        for name, value in ours.items():
            np.testing.assert_allclose(value, theirs[name], rtol=0, atol=1e-12, err_msg=name)


def test_the_network_of_a_gpu_leaves_the_choice_of_kernels_to_measurement():
    assert training.network(random_weights(), "float32", "cuda").bn2.kernels is None
    assert training.network(random_weights(), "float32", "cpu").bn2.kernels is False


@pytest.mark.usefixtures("x64")
def test_weights_round_trip():
    weights = random_weights()
    saved = lenet.LeNet(weights, "float64").save_weights()
    assert saved.keys() == weights.keys()
    for name, value in weights.items():
        np.testing.assert_array_equal(saved[name], value, err_msg=name)
    with pytest.raises(ValueError, match=r"dense3\.bias"):
        lenet.LeNet({**weights, "dense3.bias": np.zeros(9)})


def random_weights() -> lenet.Weights:
    """Initial weights moved a little, so that no array is at its default."""
    rng = np.random.default_rng(7)
    return {name: w + rng.uniform(0, 0.1, w.shape) for name, w in initial_weights(0).items()}


def random_data(n: int) -> SimpleNamespace:
    """Noise with a bright band whose place is the label."""
    rng = np.random.default_rng(8)
    labels = rng.integers(0, 10, n + 100).astype(np.uint8)
    images = rng.integers(0, 30, (n + 100, 28, 28)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[2 * label : 2 * label + 6] += 200
    return SimpleNamespace(
        train_images=images[:n], train_labels=labels[:n], test_images=images[n:], test_labels=labels[n:]
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_training_learns_and_repeats_itself(dtype):
    x64_before = jax.config.jax_enable_x64
    data = random_data(512)
    orders = np.stack([np.random.default_rng(e).permutation(512) for e in range(4)])
    progress: list[int] = []
    epochs: list[dict] = []
    options = {"batch_size": 64, "learning_rate": 0.5, "dtype": dtype}
    reports = {"on_progress": progress.append, "on_epoch": lambda record, _: epochs.append(record)}
    first = training.train(data, initial_weights(0), orders, TrainingSettings(**options, **reports))
    again = training.train(data, initial_weights(0), orders, TrainingSettings(**options))
    losses = [record["loss"] for record in first["history"]]
    assert losses[-1] < 0.5 * losses[0]
    assert losses == [record["loss"] for record in again["history"]]
    for name, value in first["weights"].items():
        assert value.dtype == dtype
        np.testing.assert_array_equal(value, again["weights"][name], err_msg=name)
    assert progress == sorted(progress)
    assert progress[-1] == 4 * 512
    assert epochs == first["history"]
    assert jax.config.jax_enable_x64 == x64_before  # JAX's settings are put back


@pytest.mark.usefixtures("x64")
def test_training_is_the_references(monkeypatch):
    """Two epochs in float64 against the NumPy training, with a short last piece, batch and evaluation batch."""
    monkeypatch.setitem(training.STEPS_IN_A_CALL, "cpu", 3)
    monkeypatch.setitem(training.EVALUATION_BATCH, "cpu", 40)
    data = random_data(250)
    orders = np.stack([np.random.default_rng(e).permutation(250) for e in range(2)])
    settings = TrainingSettings(learning_rate=0.5, batch_size=60, dtype="float64")
    got, want = (f(data, random_weights(), orders, settings) for f in (training.train, reference_train))
    for name, value in want["weights"].items():
        np.testing.assert_allclose(got["weights"][name], value, rtol=0, atol=1e-11, err_msg=name)
    for g, w in zip(got["history"], want["history"], strict=True):
        assert g["loss"] == pytest.approx(w["loss"], rel=1e-12)
        assert (g["train_accuracy"], g["test_accuracy"]) == (w["train_accuracy"], w["test_accuracy"])


def test_training_refuses_what_it_cannot_do():
    with pytest.raises(ValueError, match="dtype"):
        training.train(random_data(1), random_weights(), np.zeros((0, 1)), TrainingSettings(dtype="bfloat16"))
    with pytest.raises(ValueError, match="device"):
        training.train(random_data(1), random_weights(), np.zeros((0, 1)), TrainingSettings(device="tpu"))
