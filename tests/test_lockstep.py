"""Lockstep: when it looks, how it names the first step that is out, and any target's batch norm in the network."""

from __future__ import annotations

import importlib
from dataclasses import replace

import numpy as np
import pytest

from harness.errors import UsageError
from harness.train import lockstep as module
from harness.train.fashion_mnist import load_sample
from harness.train.lockstep import compare, is_within, lockstep, looks, share
from harness.train.target_norm import target_norm
from reference import training as numpy_training
from reference.lenet import LeNet, initial_weights

torch = pytest.importorskip("torch")
PARAMETERS = [name for name in initial_weights(0) if "moving" not in name]


@pytest.fixture(scope="module")
def data():
    found = load_sample()
    return replace(found, train_images=found.train_images[:600], train_labels=found.train_labels[:600])


def test_looks_are_powers_of_two_then_epochs():
    assert looks(2350, 235) == [1, 2, 4, 8, 16, 32, 64, 128, *range(235, 2351, 235)]
    assert looks(300, 235) == [1, 2, 4, 8, 16, 32, 64, 128, 235, 300]
    assert looks(1, 235) == [1]
    assert looks(3, 3) == [1, 2, 3]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_numpy_and_pytorch_stay_together_over_epochs(data, dtype):
    records = lockstep(data, ["numpy", "torch"], steps=5, dtype=dtype)
    assert sorted({one["steps"] for one in records}) == [1, 2, 3, 5]
    gradients = {f"gradient of {name}" for name in PARAMETERS if name not in module.CANCELLED}
    assert {one["tensor"] for one in records} == set(initial_weights(0)) | gradients
    assert not [one for one in records if not is_within(one)]
    assert all(one["last"] == (one["steps"] == 5) for one in records)


def test_chunks_are_the_same_as_one_go(data, monkeypatch):
    """Looking on the way must not change where a training gets: compared bit for bit."""
    weights = []
    monkeypatch.setattr(module, "compare", lambda tensors, *_: weights.append(tensors["numpy"]) or [])
    monkeypatch.setattr(module, "mark_last", lambda records: records)
    lockstep(data, ["numpy"], steps=3)
    orders = module.batch_orders(600, 1, 0)
    whole = numpy_training.train(data, initial_weights(0), orders, dtype="float64")["weights"]
    for name, array in whole.items():
        np.testing.assert_array_equal(weights[-1][name], array, err_msg=name)


def test_the_first_step_and_tensor_out_are_named(data, monkeypatch):
    """A training that errs in its third step only: the look after the fourth sees it, the third is named."""
    train = numpy_training.train

    def errs(data, weights, orders, **options):
        found = train(data, weights, orders, **options)
        third = module.batch_orders(600, 2, 0)[0, 512:600].tolist()
        if orders[0].tolist()[-88:] == third:
            found["weights"]["dense2.bias"][7] += 1e-6
        return found

    make = module.make_runners

    def with_an_error(*arguments):
        runners = make(*arguments)
        runners[0].train = errs
        return runners

    monkeypatch.setattr(module, "make_runners", with_an_error)
    monkeypatch.setattr(module, "looks", lambda *_: [1, 3, 6])
    records = lockstep(data, ["numpy", "torch"], steps=6)
    (first,) = [one for one in records if one["first_out"]]
    assert (first["tensor"], first["steps"]) == ("dense2.bias", 3)
    assert max(one["steps"] for one in records) == 3  # and there it stops


def test_nan_is_out():
    runners = module.make_runners(["numpy", "torch"], "float64", 0, "cpu", None)
    runners[0].weights["bn1.beta"] = np.full(6, np.nan)
    found = compare({one.name: one.weights for one in runners}, "torch", "float64", 1, {})
    out = [one for one in found if not is_within(one)]
    assert [one["tensor"] for one in out] == ["bn1.beta"]
    assert max(found, key=share)["tensor"] == "bn1.beta"


@pytest.mark.parametrize("name", ["torch", "jax"])
def test_gradients_and_activations_are_those_of_the_reference(data, name):
    """Float64, from the same weights: all but the gradients that are zero, within a few hundred roundoffs."""
    if name == "jax":
        pytest.importorskip("flax")
    images, labels = data.train_images[:64], data.train_labels[:64]
    want = numpy_training.inspect(initial_weights(0), images, labels, dtype="float64")
    got = importlib.import_module(module.MODULES[name]).inspect(initial_weights(0), images, labels, dtype="float64")
    assert set(got[0]) == set(want[0]) == set(PARAMETERS)
    assert list(got[1]) == list(want[1]) == ["bn1", "bn2", "bn3", "bn4", "dense3"]
    for owed, found in zip(want, got, strict=True):
        for tensor, array in owed.items():
            assert found[tensor].shape == array.shape
            if owed is want[0] and tensor in module.CANCELLED:
                assert np.abs(found[tensor]).max() < 1e-13 > np.abs(array).max()
            else:
                assert module.distance(found[tensor], array) < 1e-13, tensor


def test_the_gradients_are_what_a_step_subtracts(data):
    images, labels = data.train_images[:64], data.train_labels[:64]
    start = initial_weights(0)
    grads, _ = numpy_training.inspect(start, images, labels, dtype="float64")
    few = replace(data, train_images=images, train_labels=labels)
    after = numpy_training.train(few, start, np.arange(64)[None], learning_rate=0.5, dtype="float64")["weights"]
    for tensor, grad in grads.items():
        np.testing.assert_allclose(start[tensor] - 0.5 * grad, after[tensor], rtol=0, atol=1e-14, err_msg=tensor)


def test_activations_are_compared_where_asked_for(data):
    records = lockstep(data, ["numpy", "torch"], steps=1, activations=True)
    assert {one["tensor"] for one in records if one["tensor"].startswith("activation of ")} == {
        f"activation of {layer}" for layer in ("bn1", "bn2", "bn3", "bn4", "dense3")
    }
    assert all(is_within(one) for one in records)


def test_a_target_in_the_network_shows_what_its_convention_does(data):
    """torch's own layer: its moving variance is unbiased, and nothing else of the training differs."""
    records = lockstep(data, [], steps=2, bn="torch-native")
    assert {(one["a"], one["b"]) for one in records} == {("numpy", "numpy with torch-native")}
    out = {one["tensor"] for one in records if share(one) > 1e4}
    assert out == {f"bn{i}.moving_var" for i in (1, 2, 3, 4)}
    assert max(one["steps"] for one in records) == 2  # it does not stop there


def test_the_reference_as_a_target_is_the_reference(data):
    images, labels = numpy_training.scaled(data.train_images[:64], "float64"), data.train_labels[:64]
    nets = [LeNet(initial_weights(0)), LeNet(initial_weights(0), norm=target_norm("numpy"))]
    for net in nets:
        for _ in range(2):
            numpy_training.sgd_step(net, images, labels, 1.0)
    for name, array in nets[0].save_weights().items():
        np.testing.assert_allclose(nets[1].save_weights()[name], array, rtol=0, atol=1e-12, err_msg=name)
    ours, theirs = (net.forward(images, training=False)[0] for net in nets)
    np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-12)


@pytest.mark.parametrize("ranks", [(2, 4), (2,), (3,)])
def test_channels_last_and_higher_ranks_are_shaped_for_the_target(ranks):
    class Seen:
        def __init__(self, setup):
            self.setup = setup

        def train(self, x, dy):
            assert x.ndim == self.setup.ndim == max(ranks)
            assert x.shape[-1] == 3
            return {"y": 2 * x, "dx": 3 * dy, "dgamma": np.ones(3), "dbeta": np.zeros(3)}

        def stats(self):
            return {"moving_mean": np.full(3, 7.0), "moving_var": np.ones(3)}

    from harness.train.target_norm import TargetNorm
    from reference.conventions import conventions_from

    Seen.ranks = ranks
    layer = TargetNorm(Seen, conventions_from({"preset": "d2l", "channel_axis": -1}), 3, np.float64)
    x = np.arange(12.0).reshape(4, 3)
    y, cache = layer.train(x)
    dx, _, _ = layer.train_backward(x, cache)
    np.testing.assert_array_equal(y, 2 * x)
    np.testing.assert_array_equal(dx, 3 * x)
    assert layer.moving_mean.tolist() == [7.0] * 3


def test_what_cannot_be_put_into_a_network_is_refused(tmp_path):
    path = tmp_path / "m.py"
    start = "    def __init__(self, setup): ...\n    def train(self, x, dy): ...\n"
    path.write_text(f"class A:\n{start}class B(A):\n    conventions = 'd2l'\n")
    with pytest.raises(UsageError, match="declares no conventions"):
        target_norm(f"{path}:A")
    with pytest.raises(UsageError, match="needs train, eval and stats"):
        target_norm(f"{path}:B")
