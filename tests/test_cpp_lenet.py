"""LeNet's training steps by the C++ kernels against the reference, and against PyTorch's own operations.

Where the kernels are not built all but one are skipped: `make kernels`.
"""

from dataclasses import replace

import numpy as np
import pytest

from harness.train.distances import distance
from harness.train.fashion_mnist import load_sample
from reference.conventions import D2L
from reference.lenet import LeNet as ReferenceNet
from reference.lenet import cross_entropy, initial_weights
from reference.training import scaled

torch = pytest.importorskip("torch")

from impls.pytorch import cpp_build, cpp_lenet, training  # noqa: E402
from impls.pytorch.batch_norm import BatchNorm  # noqa: E402
from impls.pytorch.lenet import native_norm, our_norm  # noqa: E402
from impls.pytorch.steps import Steps, epoch_runner  # noqa: E402

built = pytest.mark.skipif(not cpp_build.is_built(), reason=f"the C++ kernels are not built: {cpp_build.COMMAND}")
BATCHES = (3, 16, 39, 64)  # less than a vector, whole vectors, and a rest


@pytest.fixture(scope="module")
def data():
    return load_sample()


def net_and_data(data, dtype="float64", norm=our_norm, seed=0):
    images, labels = training.to_device(data.train_images[:200], data.train_labels[:200], "cpu")
    return training.make_net(initial_weights(seed), getattr(torch, dtype), "cpu", norm), images, labels


@built
@pytest.mark.parametrize("n", BATCHES)
def test_gradients_activations_and_statistics_are_those_of_the_reference(data, n):
    net, images, labels = net_and_data(data)
    batch = np.random.default_rng(n).permutation(200)[:n]
    gradients, activations = cpp_lenet.Kernels(net, images, labels).inspect(torch.tensor(batch))
    reference = ReferenceNet(initial_weights(0))
    logits, cache = reference.forward(scaled(data.train_images[batch], "float64"), training=True)
    _, dlogits = cross_entropy(logits, data.train_labels[batch])
    cancelled = {f"{layer}.bias" for layer, _ in cpp_lenet.LAYERS}
    for name, expected in reference.backward(dlogits, cache).items():
        if name in cancelled:
            assert np.abs(gradients[name]).max() < 1e-13, name
        else:
            assert distance(gradients[name], expected) < 1e-12, name
    np.testing.assert_allclose(activations["dense3"], logits.T, rtol=0, atol=1e-12)
    for name, expected in reference.save_weights().items():
        np.testing.assert_allclose(net.save_weights()[name], expected, rtol=0, atol=1e-13, err_msg=name)


@built
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_an_epoch_is_that_by_operations(data, dtype):
    """With a short last batch, and one of a single example, which is left to the operations."""
    order = torch.tensor(np.random.default_rng(1).permutation(200)[:81])
    nets, seen = [], []
    for kernels in (True, False):
        net, images, labels = net_and_data(data, dtype)
        net.bn1.cpp = None if kernels else False
        steps = Steps(net, images, labels, 0.5)
        with training.without_a_trace(net):
            run, how = epoch_runner(steps, 80, 32, compiled=False)
        assert how == ("C++ kernels" if kernels else "eager")
        steps.loss_sum.zero_()
        steps.correct.zero_()
        run(order[:80], lambda _: None)
        nets.append(net)
        seen.append((steps.loss_sum.item(), steps.correct.item()))
    tolerance = 1e-11 if dtype == "float64" else 2e-4
    assert seen[0] == (pytest.approx(seen[1][0], abs=tolerance), seen[1][1])
    for (name, ours), theirs in zip(nets[0].state_dict().items(), nets[1].state_dict().values(), strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=0, atol=tolerance, err_msg=name)
    assert nets[0].bn1.updates == 3


@built
def test_a_single_last_example_is_left_to_the_operations(data):
    net, images, labels = net_and_data(data)
    steps = Steps(net, images, labels, 0.5)
    run, _ = epoch_runner(steps, 33, 32, compiled=False)
    done = []
    run(torch.arange(33), done.append)
    assert done == [32, 1]


@built
def test_prediction_is_that_by_operations(data):
    net, images, labels = net_and_data(data, seed=3)
    net.bn2.moving_mean.fill_(0.1)
    net.bn4.moving_var.fill_(0.7)
    by_kernels = training.evaluate(net, images, labels, 48, torch.float64)
    net.bn1.cpp = False
    assert by_kernels == training.evaluate(net, images, labels, 48, torch.float64)
    assert net.bn1.updates == 0


@built
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_change_nothing_beyond_the_order_of_sums(data, threads):
    before = torch.get_num_threads()
    net, images, labels = net_and_data(data)
    kernels, batch = cpp_lenet.Kernels(net, images, labels), torch.arange(150)
    try:
        torch.set_num_threads(1)
        alone, _ = kernels.inspect(batch)
        torch.set_num_threads(threads)
        for _ in range(3):
            together, _ = kernels.inspect(batch)
            for name, gradient in together.items():
                np.testing.assert_allclose(gradient, alone[name], rtol=0, atol=1e-14, err_msg=name)
    finally:
        torch.set_num_threads(before)


@built
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_nan_is_not_lost_and_large_values_saturate(data, dtype):
    net, images, labels = net_and_data(data, dtype)
    kernels, batch = cpp_lenet.Kernels(net, images, labels), torch.arange(20)
    with torch.no_grad():
        net.bn1.gamma.fill_(1e4)
        gradients, activations = kernels.inspect(batch)
        assert np.isfinite(gradients["conv1.weight"]).all()
        assert 0 <= activations["bn1"].min() < 1e-30
        assert activations["bn1"].max() == 1
        net.conv1.bias[2] = torch.nan
    gradients, activations = kernels.inspect(batch)
    assert np.isnan(activations["bn1"][:, 2]).all()
    assert not np.isnan(activations["bn1"][:, 3]).any()
    assert np.isnan(gradients["conv1.weight"]).all()


@built
def test_what_the_kernels_do_not_take_is_left_to_the_operations(data):
    def suits(norm, dtype="float32"):
        return cpp_lenet.suits(net_and_data(data, dtype, norm)[0], 16)

    assert suits(our_norm)
    assert not suits(native_norm)
    assert not suits(lambda channels, _: BatchNorm(channels, conventions=replace(D2L, eps_at="outside_sqrt")))
    assert not suits(lambda channels, _: BatchNorm(channels, eps=1e-3 * channels))
    assert not suits(our_norm, "bfloat16")
    assert not cpp_lenet.suits(net_and_data(data)[0], 1)


@built
def test_bad_arguments_are_refused_before_memory_is_touched(data):
    net, images, labels = net_and_data(data)
    kernels = cpp_lenet.Kernels(net, images, labels)
    with pytest.raises(IndexError, match="index 200 is out of range"):
        kernels.step(torch.tensor([0, 200]), 1.0)
    with pytest.raises(RuntimeError, match="batch"):
        kernels.step(torch.tensor([], dtype=torch.int64), 1.0)
    kernels.workspaces[4] = torch.empty(100, dtype=torch.float64)
    with pytest.raises(RuntimeError, match="workspace"):
        kernels.step(torch.arange(4), 1.0)
    kernels.parameters[0] = kernels.parameters[0][:5]
    with pytest.raises(RuntimeError, match="parameter 0"):
        kernels.step(torch.arange(8), 1.0)


def test_without_the_kernels_steps_run_by_operations(data, monkeypatch):
    monkeypatch.setattr(cpp_build, "namespace", lambda: None)
    net, images, labels = net_and_data(data)
    _, how = epoch_runner(Steps(net, images, labels, 0.5), 32, 16, compiled=False)
    assert how == "eager"
