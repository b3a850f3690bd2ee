"""The NumPy LeNet against finite differences, against loops, and against PyTorch's in float64."""

import numpy as np
import pytest

from reference import lenet
from reference.lenet import LeNet, cross_entropy, initial_weights

NAMES = [
    *("conv1.weight", "conv1.bias", "bn1.gamma", "bn1.beta", "bn1.moving_mean", "bn1.moving_var"),
    *("conv2.weight", "conv2.bias", "bn2.gamma", "bn2.beta", "bn2.moving_mean", "bn2.moving_var"),
    *("dense1.weight", "dense1.bias", "bn3.gamma", "bn3.beta", "bn3.moving_mean", "bn3.moving_var"),
    *("dense2.weight", "dense2.bias", "bn4.gamma", "bn4.beta", "bn4.moving_mean", "bn4.moving_var"),
    *("dense3.weight", "dense3.bias"),
]
PARAMETERS = [name for name in NAMES if "moving" not in name]


def batch(n, seed=0):
    rng = np.random.default_rng(seed)
    return rng.random((1, 28, 28, n)), rng.integers(0, 10, n)


def random_weights(seed=0):
    """Weights whose norms are not the identity: defaults hide mapping mistakes."""
    rng = np.random.default_rng([seed, 1])
    weights = initial_weights(seed)
    for name in weights:
        if name.startswith("bn"):
            weights[name] = rng.uniform(0.5, 1.5, weights[name].shape)
    return weights


def loss_of(weights, images, labels):
    logits, _ = LeNet(weights).forward(images, training=True)
    return cross_entropy(logits, labels)[0]


def gradients(weights, images, labels):
    net = LeNet(weights)
    logits, cache = net.forward(images, training=True)
    return net.backward(cross_entropy(logits, labels)[1], cache)


# --- initial weights ---


def test_initial_weights_have_the_agreed_names_and_shapes():
    weights = initial_weights(0)
    assert list(weights) == NAMES
    assert weights["conv2.weight"].shape == (16, 6, 5, 5)
    assert weights["dense1.weight"].shape == (120, 256)
    assert {array.dtype for array in weights.values()} == {np.dtype(np.float64)}


def test_initial_weights_follow_the_seed():
    np.testing.assert_array_equal(initial_weights(3)["conv1.weight"], initial_weights(3)["conv1.weight"])
    assert not np.array_equal(initial_weights(3)["conv1.weight"], initial_weights(4)["conv1.weight"])


@pytest.mark.parametrize(
    ("layer", "fan_in", "fan_out"),
    [("conv1", 25, 150), ("conv2", 150, 400), ("dense1", 256, 120), ("dense2", 120, 84), ("dense3", 84, 10)],
)
def test_initial_weights_fill_xavier_s_range(layer, fan_in, fan_out):
    weights = initial_weights(0)
    limit = np.sqrt(6 / (fan_in + fan_out))
    assert 0.95 * limit < abs(weights[f"{layer}.weight"]).max() <= limit
    assert 0.5 / np.sqrt(fan_in) < abs(weights[f"{layer}.bias"]).max() <= 1 / np.sqrt(fan_in)


# --- forward and backward ---


@pytest.mark.parametrize("name", PARAMETERS)
def test_gradient_is_the_slope_of_the_loss(name):
    weights, (images, labels) = random_weights(), batch(7)
    analytic = gradients(weights, images, labels)[name]
    assert analytic.shape == weights[name].shape
    direction = np.random.default_rng(2).normal(size=analytic.shape)
    h = 1e-5 / np.linalg.norm(direction)
    up = loss_of(weights | {name: weights[name] + h * direction}, images, labels)
    down = loss_of(weights | {name: weights[name] - h * direction}, images, labels)
    slope = float((analytic * direction).sum())
    # The error of a central difference: truncation ~h^2, and the loss's rounding over 2h.
    assert abs((up - down) / (2 * h) - slope) < 1e-6 * np.linalg.norm(analytic) * np.linalg.norm(direction) + 1e-9


@pytest.mark.parametrize("name", ["conv1.weight", "conv2.weight", "bn1.gamma", "bn2.beta", "dense1.weight"])
def test_gradient_of_single_weights(name):
    weights, (images, labels) = random_weights(), batch(5)
    analytic = gradients(weights, images, labels)[name]
    rng = np.random.default_rng(3)
    for _ in range(3):
        index = tuple(rng.integers(0, size) for size in analytic.shape)
        step = np.zeros_like(analytic)
        step[index] = 1e-5
        up = loss_of(weights | {name: weights[name] + step}, images, labels)
        down = loss_of(weights | {name: weights[name] - step}, images, labels)
        assert (up - down) / 2e-5 == pytest.approx(analytic[index], rel=1e-5, abs=1e-9)


def test_convolution_is_a_cross_correlation():
    weights, (images, _) = random_weights(), batch(2)
    net = LeNet(weights)
    cache = {}
    y = net._conv("conv1", images, cache)
    for k, i, j, n in [(0, 0, 0, 0), (5, 23, 0, 1), (2, 7, 19, 0)]:
        window = images[0, i : i + 5, j : j + 5, n]
        want = (window * weights["conv1.weight"][k, 0]).sum() + weights["conv1.bias"][k]
        assert y[k, i, j, n] == pytest.approx(want, rel=1e-13)


def test_gradients_of_a_convolution_and_a_dense_layer_alone():
    """In the network a bias before a batch norm has no gradient; here it has. y is linear in each argument."""
    rng = np.random.default_rng(4)
    net, cache, grads = LeNet(random_weights()), {}, {}
    x = rng.normal(size=(6, 12, 12, 3))
    weight, bias = net.parameters["conv2.weight"], net.parameters["conv2.bias"]
    y = net._conv("conv2", x, cache)
    dy = rng.normal(size=y.shape)
    net._conv_backward_parameters("conv2", dy, cache, grads)
    from_bias = (grads["conv2.bias"] * bias).sum()
    assert from_bias == pytest.approx((dy.sum(axis=(1, 2, 3)) * bias).sum(), rel=1e-12)
    without_bias = (y * dy).sum() - from_bias
    assert (grads["conv2.weight"] * weight).sum() == pytest.approx(without_bias, rel=1e-12)
    assert (lenet.conv_backward_input(dy, weight) * x).sum() == pytest.approx(without_bias, rel=1e-12)

    x = rng.normal(size=(120, 3))
    y = net._dense("dense2", x, cache)
    dy = rng.normal(size=y.shape)
    dx = net._dense_backward("dense2", dy, cache, grads)
    np.testing.assert_allclose(grads["dense2.bias"], dy.sum(axis=1), rtol=1e-13)
    without_bias = (y * dy).sum() - (grads["dense2.bias"] * net.parameters["dense2.bias"]).sum()
    assert (dx * x).sum() == pytest.approx(without_bias, rel=1e-12)
    assert (grads["dense2.weight"] * net.parameters["dense2.weight"]).sum() == pytest.approx(without_bias, rel=1e-12)


def test_average_pool_backward_is_its_transpose():
    rng = np.random.default_rng(0)
    x, dy = rng.normal(size=(3, 8, 6, 2)), rng.normal(size=(3, 4, 3, 2))
    forward = (lenet.average_pool(x) * dy).sum()
    assert (x * lenet.average_pool_backward(dy)).sum() == pytest.approx(forward, rel=1e-13)


def test_sigmoid_and_cross_entropy_do_not_overflow():
    np.testing.assert_array_equal(lenet.sigmoid(np.array([-1e4, 0, 1e4])), [0, 0.5, 1])
    loss, dlogits = cross_entropy(np.array([[1e4], [0.0], [-1e4]]), np.array([0]))
    assert loss == 0
    np.testing.assert_array_equal(dlogits, np.zeros((3, 1)))


@pytest.mark.parametrize("dtype", ["float32", "float64", "longdouble"])
def test_everything_stays_in_the_network_s_dtype(dtype):
    net = LeNet(initial_weights(0), dtype)
    images, labels = batch(4)
    logits, cache = net.forward(images.astype(dtype), training=True)
    loss, dlogits = cross_entropy(logits, labels)
    results = {"logits": logits, "loss": loss, **net.backward(dlogits, cache), **net.save_weights()}
    assert {name: value.dtype for name, value in results.items() if value.dtype != np.dtype(dtype)} == {}


def test_only_training_moves_the_statistics():
    weights, (images, _) = random_weights(), batch(6)
    net = LeNet(weights)
    net.forward(images, training=False)
    np.testing.assert_array_equal(net.save_weights()["bn1.moving_mean"], weights["bn1.moving_mean"])
    net.forward(images, training=True)
    conv = net._conv("conv1", images, {})
    want = 0.9 * weights["bn1.moving_mean"] + 0.1 * conv.mean(axis=(1, 2, 3))
    np.testing.assert_allclose(net.save_weights()["bn1.moving_mean"], want, rtol=1e-13)


def test_weights_are_copied_in_and_out():
    weights = random_weights()
    net = LeNet(weights)
    saved = net.save_weights()
    assert sorted(saved) == sorted(NAMES)
    for name in NAMES:
        np.testing.assert_array_equal(saved[name], weights[name])
    net.parameters["bn1.gamma"] += 1
    np.testing.assert_array_equal(net.norms["bn1"].gamma, weights["bn1.gamma"] + 1)  # shared inside
    np.testing.assert_array_equal(saved["bn1.gamma"], weights["bn1.gamma"])  # not outside


# --- against PyTorch ---


def torch_net(weights):
    torch = pytest.importorskip("torch")
    from impls.pytorch.lenet import LeNet as TorchLeNet

    net = TorchLeNet().to(torch.float64)
    net.load_weights(weights)
    return net


def as_torch(images):
    """(1, 28, 28, N) -> (N, 1, 28, 28)"""
    import torch

    return torch.tensor(np.ascontiguousarray(images.transpose(3, 0, 1, 2)))


@pytest.mark.parametrize("training", [True, False])
def test_forward_equals_pytorch(training):
    weights, (images, _) = random_weights(), batch(9)
    theirs = torch_net(weights).train(training)
    ours = LeNet(weights)
    logits, _ = ours.forward(images, training=training)
    np.testing.assert_allclose(theirs(as_torch(images)).detach().numpy().T, logits, rtol=0, atol=1e-12)
    saved = theirs.save_weights()
    assert sorted(saved) == sorted(NAMES)
    for name, array in ours.save_weights().items():
        np.testing.assert_allclose(saved[name], array, rtol=0, atol=1e-13, err_msg=name)


def test_gradients_equal_pytorch():
    weights, (images, labels) = random_weights(), batch(9)
    theirs = torch_net(weights)
    import torch

    torch.nn.functional.cross_entropy(theirs(as_torch(images)), torch.tensor(labels)).backward()
    for name, grad in gradients(weights, images, labels).items():
        np.testing.assert_allclose(theirs.tensor(name).grad.numpy(), grad, rtol=0, atol=1e-12, err_msg=name)
