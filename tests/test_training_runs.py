"""Short trainings: the reference, NumPy and PyTorch agree in float64, and each keeps the promises of its `train`."""

from types import SimpleNamespace

import numpy as np
import pytest

from harness.train.fashion_mnist import load_sample
from impls.numpy import training as numpy_training
from reference import training as reference_training
from reference.conventions import TrainingSettings
from reference.lenet import initial_weights

torch = pytest.importorskip("torch")

from impls.pytorch import training as torch_training  # noqa: E402
from impls.pytorch.lenet import native_norm  # noqa: E402

N, BATCH, EPOCHS = 39, 16, 2  # three batches an epoch, the last of 7
WINGS = {"reference": reference_training.train, "numpy": numpy_training.train, "torch": torch_training.train}


@pytest.fixture(scope="module")
def data():
    sample = load_sample()
    return SimpleNamespace(
        train_images=sample.train_images[::100][:N],
        train_labels=sample.train_labels[::100][:N],
        test_images=sample.test_images[::20],
        test_labels=sample.test_labels[::20],
    )


@pytest.fixture(scope="module")
def orders():
    rng = np.random.default_rng(5)
    return np.stack([rng.permutation(N) for _ in range(EPOCHS)])


@pytest.fixture(scope="module")
def runs(data, orders):
    return {
        name: train(data, initial_weights(1), orders, TrainingSettings(batch_size=BATCH, dtype="float64"))
        for name, train in WINGS.items()
    }


@pytest.mark.parametrize("wing", ["numpy", "torch"])
def test_all_end_with_the_same_weights(runs, wing):
    ours, theirs = runs["reference"]["weights"], runs[wing]["weights"]
    assert sorted(ours) == sorted(theirs) == sorted(initial_weights(1))
    for name, array in ours.items():
        np.testing.assert_allclose(theirs[name], array, rtol=0, atol=1e-11, err_msg=name)


@pytest.mark.parametrize("wing", ["numpy", "torch"])
def test_all_see_the_same_history(runs, wing):
    for ours, theirs in zip(runs["reference"]["history"], runs[wing]["history"], strict=True):
        assert ours["epoch"] == theirs["epoch"]
        assert ours["loss"] == pytest.approx(theirs["loss"], abs=1e-11)
        assert ours["train_accuracy"] == theirs["train_accuracy"]
        assert ours["test_accuracy"] == theirs["test_accuracy"]


@pytest.mark.parametrize("wing", WINGS)
def test_training_learns(data, wing):
    orders = np.tile(np.arange(N), (8, 1))
    history = WINGS[wing](data, initial_weights(1), orders, TrainingSettings(0.1, BATCH))["history"]
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]
    assert history[-1]["train_accuracy"] > 0.7


@pytest.mark.parametrize("wing", WINGS)
def test_a_run_says_what_it_did(runs, wing):
    for record in runs[wing]["history"]:
        assert 0 < record["step_seconds"] <= record["seconds"]
    assert runs[wing]["device"] == "cpu"
    assert runs[wing]["dtype"] == "float64"
    assert runs[wing]["compile_seconds"] >= 0


@pytest.mark.parametrize("wing", WINGS)
def test_batch_order_matters(data, orders, runs, wing):
    other = WINGS[wing](data, initial_weights(1), orders[:, ::-1], TrainingSettings(batch_size=BATCH, dtype="float64"))
    moved = abs(other["weights"]["conv1.weight"] - runs[wing]["weights"]["conv1.weight"]).max()
    assert moved > 1e-6


@pytest.mark.parametrize("wing", WINGS)
def test_first_loss_is_that_of_the_initial_weights(data, wing):
    """The step done beforehand, for compilation, must leave no trace."""
    order = np.arange(N)[None]
    run = WINGS[wing](data, initial_weights(1), order, TrainingSettings(0.0, N, "float64"))
    net = reference_training.LeNet(initial_weights(1))
    images = reference_training.scaled(data.train_images, "float64")
    logits, _ = net.forward(images, training=True)
    want, _ = reference_training.cross_entropy(logits, data.train_labels)
    assert run["history"][0]["loss"] == pytest.approx(want, abs=1e-12)
    np.testing.assert_allclose(
        run["weights"]["bn1.moving_mean"], net.save_weights()["bn1.moving_mean"], rtol=0, atol=1e-13
    )


@pytest.mark.parametrize("wing", WINGS)
def test_float32_is_deterministic_and_near_float64(data, orders, runs, wing):
    weights = initial_weights(1)
    first, second = (WINGS[wing](data, weights, orders, TrainingSettings(batch_size=BATCH)) for _ in range(2))
    for name, array in first["weights"].items():
        assert array.dtype == np.float32, name
        np.testing.assert_array_equal(second["weights"][name], array, err_msg=name)
        np.testing.assert_allclose(array, runs[wing]["weights"][name], rtol=0, atol=5e-3, err_msg=name)
    for name, array in initial_weights(1).items():
        np.testing.assert_array_equal(weights[name], array)


@pytest.mark.parametrize("wing", WINGS)
def test_progress_and_epochs_are_reported(data, orders, wing):
    done, records = [], []
    callbacks = {"on_progress": done.append, "on_epoch": lambda record, _: records.append(record)}
    run = WINGS[wing](data, initial_weights(0), orders, TrainingSettings(batch_size=2, **callbacks))
    assert done == sorted(done)
    assert done[-1] == EPOCHS * N
    assert len(done) >= 2 * EPOCHS
    assert records == run["history"]


def test_numpy_refuses_another_device(data, orders):
    with pytest.raises(ValueError, match="device must be 'cpu'"):
        reference_training.train(data, initial_weights(0), orders, TrainingSettings(device="cuda"))


def test_pytorch_leaves_global_state_alone(data, orders):
    backends = torch.backends

    def state():
        return (
            torch.get_num_threads(),
            torch.get_default_dtype(),
            torch.is_grad_enabled(),
            backends.cuda.matmul.fp32_precision,
            backends.cudnn.conv.fp32_precision,
            backends.cudnn.deterministic,
            backends.cudnn.benchmark,
            torch.get_rng_state().tolist(),
        )

    before = state()
    torch_training.train(data, initial_weights(0), orders[:1], TrainingSettings(batch_size=BATCH))
    assert state() == before


def test_pytorch_s_own_norm_differs_in_the_moving_variance_alone(data, orders):
    """After one step on the same weights: momentum 0.1 against 0.9 is the same, unbiased against biased is not."""
    runs = [
        torch_training.train(
            data, initial_weights(1), orders[:1, :BATCH], TrainingSettings(batch_size=BATCH, dtype="float64"), norm=norm
        )["weights"]
        for norm in (torch_training.our_norm, native_norm)
    ]
    for name, ours in runs[0].items():
        if not name.endswith("moving_var"):
            np.testing.assert_allclose(runs[1][name], ours, rtol=0, atol=1e-11, err_msg=name)
    ours, native = (run["bn4.moving_var"] - 0.9 for run in runs)
    np.testing.assert_allclose(native, ours * BATCH / (BATCH - 1), rtol=1e-10)
