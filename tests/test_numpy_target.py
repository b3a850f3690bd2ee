"""The target `numpy` method by method, beside the same formulas in extended precision, with every option."""

from dataclasses import replace

import numpy as np
import pytest

from harness.cases.script import Directions, Setup, Step
from harness.judge.oracle import OracleLayer, counting_rows, spread
from reference.conventions import D2L, PRESETS
from reference.option_batch_norm import BatchNormWithOptions, rows_of_mask
from reference.under_test import NumpyBatchNorm

RNG = np.random.default_rng(0)
X, DY, TX = RNG.normal(1, 2, (3, 4, 3, 2, 2))
MASK = RNG.random((4, 2, 2)) < 0.6
TGAMMA, TBETA = RNG.normal(size=(2, 3))
SETUP = Setup(3, 4, "float64", 1e-3, 0.75, np.array([1.5, -0.5, 2.0]), np.array([0.5, 1.0, -2.0]),
              np.array([0.25, -1.0, 3.0]), np.array([0.5, 2.0, 1.5]))  # fmt: skip
DIRECTIONS = Directions(TX, TGAMMA, TBETA)
PAIR = pytest.mark.parametrize("setup", [SETUP, replace(SETUP, cumulative=True), replace(SETUP, gamma=None),
    replace(SETUP, beta=None), replace(SETUP, moving_mean=None, moving_var=None)],
    ids=["plain", "cumulative", "no_gamma", "no_beta", "no_statistics"])  # fmt: skip


def assert_equal(got, expected):
    assert got.keys() == expected.keys()
    for name, array in expected.items():
        assert got[name].shape == array.shape, name
        np.testing.assert_allclose(got[name], array.astype(np.float64), rtol=1e-11, atol=1e-12, err_msg=name)


def assert_plays_like_the_oracle(setup, *steps):
    """Each step gives what the oracle gives, and so do the statistics after it."""
    layer, oracle = NumpyBatchNorm(setup), OracleLayer.from_setup(setup, D2L)
    for step in steps:
        given = {"x": step.x} if step.op == "train_no_grad" else {"x": step.x, "dy": step.dy}
        expected = oracle.play(step)
        got = getattr(layer, step.op)(*given.values(), *([] if step.mask is None else [step.mask]))
        if step.mask is not None:  # what y is where nothing counts is nobody's to say
            got["y"], expected["y"] = (np.where(step.mask[:, None], v["y"], 0) for v in (got, expected))
        assert_equal(got | layer.stats(), expected)


@PAIR
def test_training_and_prediction(setup):
    ops = ["eval", "train", "train", "eval", "frozen", "train"]
    if setup.moving_mean is None:  # nobody says what a frozen layer predicts by then
        ops.remove("frozen")
    assert_plays_like_the_oracle(setup, *(Step(op, x, DY) for op in ops for x in (X, 2 * X + 1)))


@PAIR
def test_training_without_gradients(setup):
    assert_plays_like_the_oracle(setup, Step("train_no_grad", X, DY), Step("eval", X, DY))


@PAIR
def test_masks(setup):
    dy = np.where(MASK[:, None], DY, 0)
    masked = [Step("train", x, dy, mask=MASK) for x in (X, X + 1)]
    if setup.moving_mean is None:
        masked.append(Step("eval", X, dy, mask=MASK))
    assert_plays_like_the_oracle(setup, *masked, Step("eval", X, DY))


def test_a_mask_says_nothing_in_prediction_by_moving_statistics():
    layer = NumpyBatchNorm(SETUP)
    assert_equal(layer.eval(X, DY, MASK), layer.eval(X, DY))


def test_a_mask_of_nothing_leaves_the_statistics():
    layer, nothing = NumpyBatchNorm(SETUP), np.zeros((4, 2, 2), bool)
    expected = layer.eval(X, np.zeros_like(DY))
    assert_equal(layer.train(X, np.zeros_like(DY), nothing), expected)
    assert_equal(layer.stats(), {"moving_mean": SETUP.moving_mean, "moving_var": SETUP.moving_var})
    assert layer.layer.updates == 0


def test_derivatives():
    layer, oracle = NumpyBatchNorm(SETUP), OracleLayer.from_setup(SETUP, D2L)
    for op in ("train_jvp", "eval_jvp", "train_double", "eval_double"):
        given = (X,) if op.endswith("jvp") else (X, DY)
        got = getattr(layer, op)(*given, TX, TGAMMA, TBETA)
        assert_equal(got, oracle.play(Step(op, X, DY, directions=DIRECTIONS)))


def test_a_gradient_outside_the_mask_reaches_its_own_x_and_the_parameters():
    layer = BatchNormWithOptions(3, 1e-3)
    layer.gamma = SETUP.gamma
    y, cache = layer.masked_train(X, MASK)
    outside = np.where(MASK[:, None], 0, DY)
    dx, dgamma, dbeta = layer.masked_train_backward(outside, cache)
    scale = layer.inverse_std(cache["var"])
    x_hat = (y - layer.beta.reshape(3, 1, 1)) / layer.gamma.reshape(3, 1, 1)
    np.testing.assert_allclose(dbeta, outside.sum((0, 2, 3)))
    np.testing.assert_allclose(dgamma, (outside * x_hat).sum((0, 2, 3)))
    not_counting = np.broadcast_to(~MASK[:, None], X.shape)
    own = (layer.gamma * scale).reshape(3, 1, 1) * outside
    np.testing.assert_allclose(dx[not_counting], own[not_counting])
    np.testing.assert_allclose((dx - own).sum((0, 2, 3)), -(layer.gamma * scale) * dbeta, rtol=1e-9)


@pytest.mark.parametrize(("dtype", "computes_in"), [("float64", np.float64), ("float32", np.float32),
                                                   ("bfloat16", np.float32), ("float16", np.float32)])  # fmt: skip
def test_the_dtype_of_its_parameters(dtype, computes_in):
    layer = NumpyBatchNorm(replace(SETUP, dtype=dtype, gamma=None, moving_mean=None, moving_var=None)).layer
    assert (layer.gamma.dtype, layer.eps, layer.momentum) == (np.dtype(computes_in), 1e-3, 0.75)
    assert np.array_equal(layer.gamma, np.ones(3))


def test_its_state_is_the_whole_layer():
    trained, fresh = NumpyBatchNorm(SETUP), NumpyBatchNorm(replace(SETUP, gamma=np.ones(3), momentum=0.5))
    trained.train(X, DY)
    fresh.load_state(trained.state())
    assert_equal(fresh.train(X, DY), trained.train(X, DY))
    assert_equal(fresh.stats(), trained.stats())
    assert trained.state() is not vars(trained.layer)


def test_a_mask_may_broadcast_and_channels_may_be_last():
    of_samples = rows_of_mask(np.array([True, False]).reshape(2, 1), (2, 3, 4), 1)
    assert of_samples[:, 0].tolist() == [True] * 4 + [False] * 4
    last = rows_of_mask(np.array([[True, False], [False, False]]), (2, 2, 5), -1)
    assert last[:, 0].tolist() == [True, False, False, False]


def test_rows_that_count_and_back():
    step = Step("train", np.zeros((2, 3, 2)), None, mask=np.array([[True, False], [False, True]]))
    counts = counting_rows(step)
    assert counts.tolist() == [True, False, False, True]
    whole = spread(np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), counts, (2, 3, 2), np.array([7.0, 8.0, 9.0]))
    assert whole.tolist() == [[[1, 7], [2, 8], [3, 9]], [[7, 4], [8, 5], [9, 6]]]


# --- conventions ---


@pytest.mark.parametrize(("preset", "keep", "new"), [("d2l", 0.9, 0.1), ("torch", 0.1, 0.9)])
def test_weights_by_the_sense_of_momentum(preset, keep, new):
    conventions = PRESETS[preset]
    assert (conventions.keep_weight(0.9), conventions.new_weight(0.9)) == (pytest.approx(keep), pytest.approx(new))
    assert conventions.momentum_for(0.125) == (0.875 if preset == "d2l" else 0.125)
    assert conventions.as_dict()["momentum"] == conventions.momentum
