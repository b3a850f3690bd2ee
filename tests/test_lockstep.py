"""Lockstep: when it compares, how it names the first step that is out, and any target's batch norm in the network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.errors import UsageError
from harness.train import lockstep as module
from harness.train.distances import TrainingYardstick, distance
from harness.train.fashion_mnist import load_sample
from harness.train.implementations import training_module
from harness.train.lockstep import comparison_steps, lockstep, make_runners
from harness.train.options import LockstepOptions
from harness.train.recipe import batch_orders
from harness.train.relabelled import relabelling
from harness.train.target_norm import target_norm
from reference import training as reference_training
from reference.conventions import TrainingSettings
from reference.lenet import LeNet, initial_weights
from tests.experiments.lesson import MISTAKES
from tests.experiments.lockstep import (
    Eps,
    Gradient,
    InputGradient,
    Momentum,
    MovingVariance,
    NormalizedBy,
    of_size,
    shares,
)

torch = pytest.importorskip("torch")
PARAMETERS = [name for name in initial_weights(0) if "moving" not in name]


@pytest.fixture(scope="module")
def data():
    sample = load_sample()
    return replace(sample, train_images=sample.train_images[:600], train_labels=sample.train_labels[:600])


def test_comparisons_are_after_powers_of_two_then_epochs():
    assert comparison_steps(2350, 235) == [1, 2, 4, 8, 16, 32, 64, 128, *range(235, 2351, 235)]
    assert comparison_steps(300, 235) == [1, 2, 4, 8, 16, 32, 64, 128, 235, 300]
    assert comparison_steps(1, 235) == [1]
    assert comparison_steps(3, 3) == [1, 2, 3]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_numpy_and_pytorch_stay_together_over_epochs(data, dtype):
    records = lockstep(data, LockstepOptions(("numpy", "torch"), steps=5, dtype=dtype))
    assert sorted({record.steps for record in records}) == [1, 2, 3, 5]
    gradients = {f"gradient of {name}" for name in PARAMETERS if name not in module.CANCELLED}
    assert {record.tensor for record in records} == set(initial_weights(0)) | gradients
    assert all(record.is_within for record in records)
    assert all(record.last == (record.steps == 5) for record in records)


def test_chunks_are_the_same_as_one_go(data, monkeypatch):
    """Comparing on the way must not change where a training gets: bit for bit."""
    weights = []
    monkeypatch.setattr(TrainingYardstick, "compare", lambda _, tensors, __: weights.append(tensors["numpy"]) or ())
    lockstep(data, LockstepOptions(("numpy",), steps=3))
    orders = batch_orders(600, 1, 0)
    train = training_module("numpy").train
    whole = train(data, initial_weights(0), orders, TrainingSettings(dtype="float64"))["weights"]
    for name, array in whole.items():
        np.testing.assert_array_equal(weights[-1][name], array, err_msg=name)


def test_the_first_step_and_tensor_out_are_named(data, monkeypatch):
    """A training that errs in its third step only: the comparison after the sixth sees it, the third is named."""
    train = reference_training.train
    third_batch = batch_orders(600, 2, 0)[0, 512:600].tolist()

    def errs(data, weights, orders, settings):
        result = train(data, weights, orders, settings)
        if orders[0].tolist()[-88:] == third_batch:
            result["weights"]["dense3.bias"][7] += 1e-6
        return result

    def with_an_error(options, data):
        runners = make_runners(options, data)
        runners[0].train = errs
        return runners

    monkeypatch.setattr(module, "make_runners", with_an_error)
    monkeypatch.setattr(module, "comparison_steps", lambda *_: [1, 3, 6])
    records = lockstep(data, LockstepOptions(("numpy", "torch"), steps=6))
    (first,) = [record for record in records if record.first_out]
    assert (first.tensor, first.steps) == ("dense3.bias", 3)
    assert max(record.steps for record in records) == 3  # and there it stops


def test_nan_is_out():
    weights = initial_weights(0)
    tensors = {"numpy": weights | {"bn1.beta": np.full(6, np.nan)}, "torch": weights, "torch again": weights}
    records = TrainingYardstick("float64", {"torch": ("torch again",)}).compare(tensors, 1)
    assert [record.tensor for record in records if not record.is_within] == ["bn1.beta"]
    assert max(records, key=lambda record: record.share).tensor == "bn1.beta"


@pytest.mark.parametrize("name", ["numpy", "torch", "jax"])
def test_gradients_and_activations_are_those_of_the_reference(data, name):
    """Float64, from the same weights: all but the gradients that are zero, within a few hundred roundoffs."""
    if name == "jax":
        pytest.importorskip("flax")
    images, labels = data.train_images[:64], data.train_labels[:64]
    want = reference_training.inspect(initial_weights(0), images, labels, dtype="float64")
    got = training_module(name).inspect(initial_weights(0), images, labels, dtype="float64")
    assert set(got[0]) == set(want[0]) == set(PARAMETERS)
    assert list(got[1]) == list(want[1]) == ["bn1", "bn2", "bn3", "bn4", "dense3"]
    for expected, tensors in zip(want, got, strict=True):
        for name_of_tensor, array in expected.items():
            assert tensors[name_of_tensor].shape == array.shape
            if expected is want[0] and name_of_tensor in module.CANCELLED:
                assert np.abs(tensors[name_of_tensor]).max() < 1e-13 > np.abs(array).max()
            else:
                assert distance(tensors[name_of_tensor], array) < 1e-13, name_of_tensor


def test_the_gradients_are_what_a_step_subtracts(data):
    images, labels = data.train_images[:64], data.train_labels[:64]
    start = initial_weights(0)
    grads, _ = reference_training.inspect(start, images, labels, dtype="float64")
    few = replace(data, train_images=images, train_labels=labels)
    settings = TrainingSettings(learning_rate=0.5, dtype="float64")
    after = reference_training.train(few, start, np.arange(64)[None], settings)["weights"]
    for tensor, grad in grads.items():
        np.testing.assert_allclose(start[tensor] - 0.5 * grad, after[tensor], rtol=0, atol=1e-14, err_msg=tensor)


def test_activations_are_compared_where_asked_for(data):
    records = lockstep(data, LockstepOptions(("numpy", "torch"), steps=1, activations=True))
    assert {record.tensor for record in records if record.tensor.startswith("activation of ")} == {
        f"activation of {layer}" for layer in ("bn1", "bn2", "bn3", "bn4", "dense3")
    }
    assert all(record.is_within for record in records)


def test_one_framework_that_is_far_from_itself_does_not_widen_the_yardstick():
    """Of three the middle one counts; of two the further one, within limits; the root mean square of its own twins."""
    apart = {"a": (3e-9, 4e-9), "b": (1e-3, 1e-3), "c": (1e-9, 1e-9)}
    one = np.ones(1)
    tensors = {name: {"w": one} for name in apart}
    tensors |= {f"{name}{i}": {"w": one + far} for name, twins in apart.items() for i, far in enumerate(twins)}
    twins = {name: (f"{name}0", f"{name}1") for name in apart}
    three = TrainingYardstick("float64", twins).compare(tensors, 1)
    assert (three[0].self, three[0].self_distance) == ("a", pytest.approx(np.sqrt(12.5) * 1e-9, rel=1e-6))
    assert {(record.a, record.b) for record in three} == {("a", "b"), ("a", "c"), ("b", "c")}
    without_c = {name: array for name, array in tensors.items() if name[0] != "c"}
    two = TrainingYardstick("float64", {"a": twins["a"], "b": twins["b"]}).compare(without_c, 1)
    assert (two[0].self, two[0].self_distance) == ("a", pytest.approx(3 * np.sqrt(12.5) * 1e-9, rel=1e-6))
    near = {name: tensors[name] for name in tensors if name[0] != "b"} | {"c0": {"w": one + 2e-9}, "c1": {"w": one}}
    two = TrainingYardstick("float64", {"a": twins["a"], "c": twins["c"]}).compare(near, 1)
    assert (two[0].self, two[0].self_distance) == ("a", pytest.approx(np.sqrt(12.5) * 1e-9, rel=1e-6))


def test_where_rounding_alone_moves_a_tensor_the_framework_that_it_moves_furthest_counts():
    """PyTorch's operations add a bias's gradient, zero on paper, less well than NumPy's: up to 18 times."""
    one = np.ones(1)
    tensors = {name: dict.fromkeys(module.CANCELLED, one) for name in "abc"}
    tensors |= {
        f"{name}0": dict.fromkeys(module.CANCELLED, one + far) for name, far in zip("abc", (1, 3, 2), strict=True)
    }
    compared = TrainingYardstick("float64", {name: (f"{name}0",) for name in "abc"}).compare(tensors, 1)
    assert {(record.self, record.self_distance) for record in compared} == {("b", 3.0)}


def test_the_yardstick_keeps_the_furthest_so_far_and_is_never_below_the_floor():
    yardstick = TrainingYardstick("float32", {"a": ("twin",)})

    def self_distance(apart):
        (record,) = yardstick.compare({"a": {"w": np.ones(1)}, "b": {"w": np.ones(1)}, "twin": {"w": [1 + apart]}}, 1)
        return record.self_distance

    assert self_distance(0.0) == yardstick.floor
    assert self_distance(1e-3) == self_distance(1e-5) == pytest.approx(1e-3)


@pytest.mark.parametrize("number", range(7))
def test_relabelled_the_network_is_the_same_and_its_sums_are_not(data, number):
    """Gradients and activations under their old labels, in float64: equal within rounding, and not to the bit."""
    start, labels = initial_weights(3), relabelling(3, number)
    its_data, back, chosen = labels.data(data), labels.inverse(), labels.order(64)
    want = reference_training.inspect(start, data.train_images[:64], data.train_labels[:64], dtype="float64")
    got = reference_training.inspect(
        labels.tensors(start), its_data.train_images[chosen], its_data.train_labels[chosen], dtype="float64"
    )
    restored = back.tensors(got[0]) | labels.activations_back(got[1])
    for name, array in (want[0] | want[1]).items():
        if name not in module.CANCELLED:
            assert 0 < distance(restored[name], array) < 1e-12, name
    for name, array in start.items():
        np.testing.assert_array_equal(back.tensor(name, labels.tensor(name, array)), array, err_msg=name)


def test_relabelled_batches_are_the_same_ones_in_another_order():
    labels, batches = relabelling(0, 0), np.arange(600)
    relabelled = labels.batches(batches, 0)
    for first, last in ((0, 256), (256, 512), (512, 600)):
        part = relabelled[first:last]
        assert sorted(part) == list(range(first, last)) != list(part)
    # Whatever the steps are cut into.
    cut = [labels.batches(batches[:256], 0), labels.batches(batches[256:], 1)]
    np.testing.assert_array_equal(np.concatenate(cut), relabelled)


LEAST_CAUGHT = {
    Momentum: 1e-3,
    Eps: 9.0,
    MovingVariance: 1e-4,
    NormalizedBy: 1e-3,
    Gradient: 1e-3,
    InputGradient: 1e-3,
}
"""Greater than what LOCKSTEP.md says is caught, and smaller than anyone would make it by mistake."""


def test_mistakes_in_float32_are_out_and_none_is_not(data):
    norms = {mistake.__name__: of_size(mistake, size) for mistake, size in LEAST_CAUGHT.items()}
    none = {f"no {mistake.__name__}": of_size(mistake, 0.0) for mistake in LEAST_CAUGHT}
    lesson = {layer.id: layer.norm for layer in MISTAKES if layer.id != "eval_uses_batch_stats"}
    found = shares(data, norms | none | lesson, "float32", steps=2)
    assert {name for name, share in found.items() if share <= 1} == set(none)


def test_a_target_in_the_network_shows_what_its_convention_does(data):
    """torch's own layer: its moving variance is unbiased, and nothing else of the training differs."""
    records = lockstep(data, LockstepOptions((), steps=2, bn="torch-native"))
    assert {(record.a, record.b) for record in records} == {("numpy", "numpy with torch-native")}
    out = {record.tensor for record in records if record.share > 1e4}
    assert out == {f"bn{i}.moving_var" for i in (1, 2, 3, 4)}
    assert max(record.steps for record in records) == 2  # it does not stop there


def test_the_reference_as_a_target_is_the_reference(data):
    images, labels = reference_training.scaled(data.train_images[:64], "float64"), data.train_labels[:64]
    nets = [LeNet(initial_weights(0)), LeNet(initial_weights(0), norm=target_norm("numpy"))]
    for net in nets:
        for _ in range(2):
            reference_training.sgd_step(net, images, labels, 1.0)
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
