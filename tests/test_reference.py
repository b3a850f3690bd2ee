"""The reference proved from outside: exact fractions, finite differences, invariances, PyTorch's autograd, ONNX."""

from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.batch_norm import BatchNorm, batch_norm, from_rows, plain_batch_norm, to_rows
from reference.conventions import PRESETS, Conventions, conventions_from

SHAPES = {2: (6, 3), 3: (4, 3, 5), 4: (2, 3, 4, 5), 5: (2, 3, 2, 4, 5)}


def layer_for(conventions: Conventions, seed: int = 0, channels: int = 3) -> BatchNorm:
    """A layer whose parameters and statistics are all away from their defaults."""
    rng = np.random.default_rng(seed)
    layer = BatchNorm(channels, conventions=conventions)
    layer.gamma, layer.beta = rng.uniform(0.5, 2, channels), rng.uniform(-2, 2, channels)
    layer.average_mean, layer.average_var = rng.uniform(-1, 1, channels), rng.uniform(0.5, 2, channels)
    return layer


def data(rank: int, axis: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x, dy = rng.normal(2, 3, SHAPES[rank]), rng.normal(0.3, 1, SHAPES[rank])
    return np.moveaxis(x, 1, axis), np.moveaxis(dy, 1, axis)


# --- exact arithmetic ---


def test_training_step_against_exact_fractions():
    """Mean, variance and the moving statistics in rationals; y and dx with mpmath's square root on top."""
    x = np.array([[1.5, -2.0], [0.25, 3.0], [-1.0, 0.5], [4.0, 8.0], [0.125, 1.0]])
    dy = np.array([[0.5, -1.0], [2.0, 0.25], [-0.75, 1.0], [1.0, 1.5], [0.0, -3.0]])
    layer = layer_for(PRESETS["torch"], channels=2)
    gamma, beta, old_mean, old_var = layer.gamma, layer.beta, layer.average_mean, layer.average_var
    y, cache = layer.train(x)
    dx, dgamma, dbeta = layer.train_backward(dy, cache)
    with mpmath.workdps(40):
        for c in range(2):
            xs, dys = ([Fraction(float(v)) for v in a[:, c]] for a in (x, dy))
            n, w = len(xs), Fraction(layer.momentum)
            mean = sum(xs) / n
            var = sum((v - mean) ** 2 for v in xs) / n
            r = 1 / mpmath.sqrt(_mp(var) + mpmath.mpf(layer.eps))
            hats = [_mp(v - mean) * r for v in xs]
            sum_dy, sum_dyh = _mp(sum(dys)), sum(_mp(d) * h for d, h in zip(dys, hats, strict=True))
            want_dx = [gamma[c] * r * (_mp(d) - sum_dy / n - h * sum_dyh / n) for d, h in zip(dys, hats, strict=True)]
            close(y[:, c], [gamma[c] * h + beta[c] for h in hats])
            close(dx[:, c], want_dx)
            close(dgamma[c : c + 1], [sum_dyh])
            close(dbeta[c : c + 1], [sum_dy])
            close(layer.moving_mean[c : c + 1], [_mp((1 - w) * Fraction(old_mean[c]) + w * mean)])
            close(layer.moving_var[c : c + 1], [_mp((1 - w) * Fraction(old_var[c]) + w * var * n / (n - 1))])


def _mp(value: Fraction) -> mpmath.mpf:
    return mpmath.mpf(value.numerator) / value.denominator


def close(got: np.ndarray, want: list) -> None:
    np.testing.assert_allclose(got, [float(v) for v in want], rtol=1e-13, atol=1e-14)


# --- finite differences ---


@pytest.mark.parametrize("eps_at", ["inside_sqrt", "outside_sqrt"])
@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("axis", [1, -1])
@pytest.mark.parametrize("rank", [2, 3, 4, 5])
def test_gradients_against_central_differences(rank, axis, mode, eps_at):
    conventions = conventions_from({"preset": "d2l", "channel_axis": axis, "eps_at": eps_at})
    x, dy = data(rank, axis)

    def objective(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray) -> np.longdouble:
        layer = layer_for(conventions)
        layer.eps = 0.5  # large, so that where it sits shows in the gradient
        layer.gamma, layer.beta = gamma, beta
        y, _ = getattr(layer, mode)(x)
        return (y.astype(np.longdouble) * dy).sum()

    layer = layer_for(conventions)
    layer.eps = 0.5
    _, cache = getattr(layer, mode)(x)
    gradients = getattr(layer, f"{mode}_backward")(dy, cache)
    rng = np.random.default_rng(1)
    for position, gradient in enumerate(gradients):
        direction = rng.normal(size=gradient.shape)
        step = 1e-5
        ends = []
        for sign in (1, -1):
            arguments = [x, layer.gamma, layer.beta]
            arguments[position] = arguments[position] + sign * step * direction
            ends.append(objective(*arguments))
        slope = float((ends[0] - ends[1]) / (2 * step))
        assert slope == pytest.approx(float((gradient * direction).sum()), rel=1e-7, abs=1e-8)


# --- the layer against the plain formula ---


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("rank", [2, 3, 4, 5])
@pytest.mark.parametrize("name", [*PRESETS, "outside_sqrt"])
def test_the_layer_equals_the_plain_formula(name, rank, training):
    """Forward, moving statistics, and gradients: those of the formula by complex steps, which lose no digit."""
    declared = {"preset": "d2l", "eps_at": "outside_sqrt"} if name == "outside_sqrt" else name
    conventions = conventions_from(declared)
    layer = layer_for(conventions)
    statistics = layer.average_mean, layer.average_var
    x, dy = data(rank, conventions.channel_axis)

    def formula(x, gamma, beta):
        options = {"training": training, "conventions": conventions}
        return plain_batch_norm(x, gamma, beta, *statistics, layer.eps, layer.momentum, **options)

    mode = "train" if training else "eval"
    arguments = [x, layer.gamma, layer.beta]
    y, mean, var = formula(*arguments)
    layer_y, cache = getattr(layer, mode)(x)
    np.testing.assert_allclose(layer_y, y, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(layer.moving_mean, mean, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(layer.moving_var, var, rtol=1e-13, atol=1e-13)
    assert np.array_equal(mean, statistics[0]) != training
    gradients = getattr(layer, f"{mode}_backward")(dy, cache)
    rng = np.random.default_rng(1)
    for position, gradient in enumerate(gradients):
        direction = rng.normal(size=gradient.shape)
        moved = [*arguments[:position], arguments[position] + 1e-100j * direction, *arguments[position + 1 :]]
        slope = (formula(*moved)[0].imag / 1e-100 * dy).sum()
        assert slope == pytest.approx((gradient * direction).sum(), rel=1e-11, abs=1e-11)


# --- invariances ---


@pytest.mark.parametrize("rank", [2, 3, 4, 5])
def test_shift_and_positive_scale_of_x_leave_y_alone_and_dx_sums_to_zero(rank):
    x, dy = data(rank, 1)
    layer = layer_for(PRESETS["d2l"])
    layer.eps = 0.0
    y, cache = layer.train(x)
    dx, _, _ = layer.train_backward(dy, cache)
    shifted, _ = layer.train(x + 5.0)
    scaled, _ = layer.train(x * 3.0)
    np.testing.assert_allclose(shifted, y, atol=1e-12)
    np.testing.assert_allclose(scaled, y, atol=1e-12)
    axes = (0, *range(2, rank))
    np.testing.assert_allclose(dx.sum(axis=axes), 0, atol=1e-12)
    np.testing.assert_allclose((dx * x).sum(axis=axes), 0, atol=1e-11)  # scale invariance, at eps = 0


def test_channels_do_not_touch_each_other():
    x, _ = data(4, 1)
    layer = layer_for(PRESETS["d2l"])
    y, _ = layer.train(x)
    x[:, 1] = np.nan
    with_nan, _ = layer.train(x)
    assert np.array_equal(with_nan[:, [0, 2]], y[:, [0, 2]])
    assert np.isnan(with_nan[:, 1]).all()


def test_an_empty_batch_changes_nothing():
    layer = layer_for(PRESETS["torch"])
    before = layer.moving_mean.copy(), layer.moving_var.copy()
    y, cache = layer.train(np.zeros((0, 3, 4, 4)))
    dx, dgamma, dbeta = layer.train_backward(np.zeros((0, 3, 4, 4)), cache)
    assert y.shape == dx.shape == (0, 3, 4, 4)
    assert np.array_equal(dgamma, np.zeros(3))
    assert np.array_equal(dbeta, np.zeros(3))
    assert np.array_equal(layer.moving_mean, before[0])
    assert np.array_equal(layer.moving_var, before[1])


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 5), st.sampled_from([1, -1]), st.integers(0, 2**31))
def test_rows_and_back_is_the_identity(rank, axis, seed):
    x, _ = data(rank, axis, seed)
    assert np.array_equal(from_rows(to_rows(x, axis), x.shape, axis), x)


# --- other people's arithmetic ---


@pytest.mark.parametrize("preset", list(PRESETS))
@pytest.mark.parametrize("rank", [2, 3, 4, 5])
def test_gradients_against_autograd_of_pytorch(rank, preset):
    torch = pytest.importorskip("torch")
    conventions = PRESETS[preset]
    x, dy = data(rank, conventions.channel_axis)
    layer = layer_for(conventions)
    y, cache = layer.train(x)
    gradients = layer.train_backward(dy, cache)
    leaves = [torch.tensor(v, requires_grad=True) for v in (x, layer.gamma, layer.beta)]
    first = torch.movedim(leaves[0], conventions.channel_axis, 1)
    theirs = torch.nn.functional.batch_norm(first, None, None, *leaves[1:], training=True, eps=layer.eps)
    theirs = torch.movedim(theirs, 1, conventions.channel_axis)
    theirs.backward(torch.tensor(dy))
    np.testing.assert_allclose(y, theirs.detach().numpy(), rtol=1e-11, atol=1e-12)
    for got, leaf in zip(gradients, leaves, strict=True):
        np.testing.assert_allclose(got, leaf.grad.numpy(), rtol=1e-10, atol=1e-12)


def onnx_cases() -> list:
    node = pytest.importorskip("onnx.backend.test.case.node")
    pytest.importorskip("onnx.backend.test.case.node.batch_normalization")
    return [case for case in node._NodeTestCases if case.model.graph.node[0].op_type == "BatchNormalization"]


def test_the_node_cases_that_onnx_ships():
    cases = onnx_cases()
    assert len(cases) >= 4
    trained = 0
    for case in cases:
        attributes = {a.name: a for a in case.model.graph.node[0].attribute}
        eps = attributes["epsilon"].f if "epsilon" in attributes else 1e-5
        momentum = attributes["momentum"].f if "momentum" in attributes else 0.9
        training = "training_mode" in attributes and attributes["training_mode"].i == 1
        inputs, outputs = case.data_sets[0]
        results = batch_norm(*inputs, eps=eps, momentum=momentum, training=training, conventions=PRESETS["onnx"])
        trained += training
        for got, want in zip(results, outputs, strict=False):
            np.testing.assert_allclose(got, want, rtol=case.rtol, atol=1e-6)
    assert trained >= 2


# --- moving statistics ---


def test_debiased_averages_of_a_constant_are_that_constant():
    layer = BatchNorm(1, momentum=0.9, conventions=conventions_from({"preset": "d2l", "debias": True}))
    layer.average_var = np.zeros(1)
    x = np.array([[1.0], [3.0]])
    for _ in range(4):
        layer.train(x)
        np.testing.assert_allclose(layer.moving_mean, 2.0)
        np.testing.assert_allclose(layer.moving_var, 1.0)


def test_prediction_moves_nothing_and_training_does():
    layer = layer_for(PRESETS["d2l"])
    x, _ = data(4, 1)
    before = layer.moving_mean.copy()
    layer.eval(x)
    assert np.array_equal(layer.moving_mean, before)
    layer.train(x)
    assert not np.array_equal(layer.moving_mean, before)


# --- bad input ---


@pytest.mark.parametrize(
    ("x", "error", "words"),
    [
        (np.zeros(3), ValueError, "rank 2 to 5, got rank 1"),
        (np.zeros((2, 3, 1, 1, 1, 1)), ValueError, "rank 2 to 5, got rank 6"),
        (np.zeros((2, 4)), ValueError, "for 3 channels got 4 on axis 1"),
        (np.zeros((2, 3), int), TypeError, "floating-point input, got int64"),
    ],
)
def test_bad_input_says_what_was_expected_and_what_came(x, error, words):
    with pytest.raises(error, match=words):
        BatchNorm(3).train(x)


def test_one_value_per_channel_is_refused_where_declared():
    with pytest.raises(ValueError, match="more than one value per channel"):
        BatchNorm(3, conventions=PRESETS["torch"]).train(np.zeros((1, 3)))
    y, _ = BatchNorm(3, conventions=PRESETS["d2l"]).train(np.ones((1, 3)))
    assert np.array_equal(y, np.zeros((1, 3)))


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ("pytorch", "unknown preset 'pytorch'; the presets are d2l, torch"),
        ({"moving_variance": "biased"}, "unknown field 'moving_variance'"),
        ({"preset": "torch", "momentum": "old"}, "momentum must be one of"),
        ({"channel_axis": 2}, "channel_axis must be one of"),
        (3, "expected a preset's name"),
    ],
)
def test_bad_conventions_name_what_is_known(declared, words):
    with pytest.raises(ValueError, match=words):
        conventions_from(declared)
