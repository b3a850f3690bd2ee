"""The JAX/Flax layer against the reference in float64."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from reference import batch_norm as reference
from reference.conventions import D2L, PRESETS, Conventions
from reference.lenet import initial_weights

jax = pytest.importorskip("jax")
nnx = pytest.importorskip("flax.nnx")

import jax.numpy as jnp  # noqa: E402  (after the skip)

from harness.bench.layer_jax import forward_of, kept_bytes  # noqa: E402
from impls.jax_flax import lenet  # noqa: E402
from impls.jax_flax.batch_norm import BatchNorm, batch_norm, plain_batch_norm  # noqa: E402
from impls.jax_flax.channels import sums_over  # noqa: E402

SHAPES = {2: (7, 3), 3: (5, 3, 4), 4: (4, 3, 2, 5), 5: (3, 3, 2, 4, 5)}  # channels at 1
VARIANTS = {
    **PRESETS,
    "eps outside the root": replace(D2L, eps_at="outside_sqrt"),
    "debiased": replace(PRESETS["torch"], debias=True),
}


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


def layer_and_reference(conventions: Conventions, dtype: str = "float64"):
    """The module and the reference with the same parameters and statistics, none at its default."""
    rng = np.random.default_rng(1)
    start = {
        "gamma": rng.normal(size=3),
        "beta": rng.normal(size=3),
        "average_mean": rng.normal(size=3),
        "average_var": rng.uniform(0.5, 2, size=3),
    }
    expected = reference.BatchNorm(3, 1e-3, 0.3, conventions)
    layer = BatchNorm(3, 1e-3, 0.3, conventions, dtype)
    for name, value in start.items():
        setattr(expected, name, value)
        getattr(layer, name.replace("average", "moving"))[...] = jnp.asarray(value, dtype)
    return layer, expected


@partial(jax.jit, static_argnums=0)
def forward_backward(graph, params, stats, x, dy):
    def forward(params, x):
        layer = nnx.merge(graph, params, stats, copy=True)
        return layer(x), nnx.state(layer, nnx.BatchStat)

    y, backward, new_stats = jax.vjp(forward, params, x, has_aux=True)
    return y, *backward(dy), new_stats


def play(layer: BatchNorm, x: np.ndarray, dy: np.ndarray):
    """(y, dx, dgamma, dbeta) of one call of the module, whose statistics move if it is in training mode."""
    graph, params, stats = nnx.split(layer, nnx.Param, nnx.BatchStat)
    y, dparams, dx, new_stats = forward_backward(graph, params, stats, jnp.asarray(x), jnp.asarray(dy))
    nnx.update(layer, new_stats)
    return y, dx, dparams["gamma"][...], dparams["beta"][...]


def inputs(rank: int, conventions: Conventions, step: int, mean: float = 3.0):
    rng = np.random.default_rng(10 * rank + step)
    x, dy = mean + rng.normal(size=SHAPES[rank]), rng.normal(size=SHAPES[rank])
    return np.moveaxis(x, 1, conventions.channel_axis), np.moveaxis(dy, 1, conventions.channel_axis)


def assert_close(got, want, tolerance=1e-12):
    """Within `tolerance` of the largest expected value."""
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * max(np.abs(want).max(), 1e-300))


# --- the layer against the reference ---


@pytest.mark.parametrize("rank", SHAPES)
@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.usefixtures("x64")
def test_layer_is_the_reference(name, rank):
    conventions = VARIANTS[name]
    layer, expected = layer_and_reference(conventions)
    for step, mode in enumerate(["eval", "train", "train", "train", "eval"]):
        x, dy = inputs(rank, conventions, step)
        getattr(layer, mode)()
        got = play(layer, x, dy)
        y, cache = getattr(expected, mode)(x)
        want = (y, *getattr(expected, f"{mode}_backward")(dy, cache))
        for g, w in zip(got, want, strict=True):
            assert_close(g, w)
            assert g.dtype == jnp.float64
        mean, var = layer.moving_statistics()
        assert_close(mean, expected.moving_mean)
        assert_close(var, expected.moving_var)
        assert int(layer.updates[...]) == expected.updates


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != "debiased"])
@pytest.mark.parametrize("training_mode", [True, False])
@pytest.mark.usefixtures("x64")
def test_function_is_the_reference(name, training_mode):
    conventions = VARIANTS[name]
    x, _ = inputs(4, conventions, 0)
    rng = np.random.default_rng(2)
    arrays = [x, rng.normal(size=3), rng.normal(size=3), rng.normal(size=3), rng.uniform(0.5, 2, 3)]
    got = batch_norm(*map(jnp.asarray, arrays), 1e-3, 0.3, training=training_mode, conventions=conventions)
    want = reference.batch_norm(*arrays, 1e-3, 0.3, training=training_mode, conventions=conventions)
    for g, w in zip(got, want, strict=True):
        assert_close(g, w)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("rank", SHAPES)
@pytest.mark.parametrize("name", [name for name in VARIANTS if not VARIANTS[name].debias])
@pytest.mark.usefixtures("x64")
def test_the_fast_form_equals_the_plain_one(name, rank, training):
    """Forward, moving statistics, and gradients: JAX's own of the plain formula, the closed form's of the fast."""
    conventions = VARIANTS[name]
    x, dy = map(jnp.asarray, inputs(rank, conventions, 0))
    rng = np.random.default_rng(2)
    gamma, beta, mean, var = map(
        jnp.asarray, (rng.normal(size=3), rng.normal(size=3), rng.normal(size=3), rng.uniform(0.5, 2, 3))
    )

    @partial(jax.jit, static_argnums=0)
    def forward_and_gradients(function, x, gamma, beta):
        def forward(x, gamma, beta):
            y, *moved = function(x, gamma, beta, mean, var, 1e-3, 0.3, training=training, conventions=conventions)
            return y, moved

        y, backward, moved = jax.vjp(forward, x, gamma, beta, has_aux=True)
        return y, *backward(dy), *moved

    fast, plain = (forward_and_gradients(function, x, gamma, beta) for function in (batch_norm, plain_batch_norm))
    for got, want in zip(fast, plain, strict=True):
        assert_close(got, want)
    assert np.array_equal(plain[4], mean) != training


@pytest.mark.parametrize("eps_at", ["inside_sqrt", "outside_sqrt"])
@pytest.mark.usefixtures("x64")
def test_closed_form_is_the_derivative_of_the_formula(eps_at):
    """First and second derivatives, against JAX's own of the plain two-pass formula."""
    conventions = replace(D2L, eps_at=eps_at)
    rng = np.random.default_rng(3)
    x, dy = jnp.asarray(rng.normal(size=(6, 3, 2))), jnp.asarray(rng.normal(size=(6, 3, 2)))
    gamma, beta = jnp.asarray(rng.normal(size=3)), jnp.asarray(rng.normal(size=3))

    def closed_form(x, gamma, beta):
        y, _, _ = batch_norm(x, gamma, beta, beta, gamma, 0.1, 0.9, training=True, conventions=conventions)
        return (y * dy).sum()

    def formula(x, gamma, beta):
        y, _, _ = plain_batch_norm(x, gamma, beta, beta, gamma, 0.1, 0.9, training=True, conventions=conventions)
        return (y * dy).sum()

    def slope_along_itself(f):
        return lambda *at: sum((d**2).sum() for d in jax.grad(f, (0, 1, 2))(*at))

    for f, g in [(closed_form, formula), (slope_along_itself(closed_form), slope_along_itself(formula))]:
        got, want = (jax.jit(jax.grad(h, (0, 1, 2)))(x, gamma, beta) for h in (f, g))
        for a, b in zip(got, want, strict=True):
            assert_close(a, b)


# --- dtypes, difficult numbers ---


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_16_bit_inputs_have_float32_insides(dtype, mode):
    layer, expected = layer_and_reference(D2L, "float32")
    getattr(layer, mode)()
    x, dy = (jnp.asarray(a, dtype) for a in inputs(4, D2L, 0))
    y, dx, dgamma, dbeta = play(layer, x, dy)
    assert (y.dtype, dx.dtype) == (x.dtype, x.dtype)
    assert {a.dtype.name for a in (dgamma, dbeta, *layer.moving_statistics())} == {"float32"}
    want, cache = getattr(expected, mode)(np.asarray(x, np.float64))
    _, want_dgamma, _ = getattr(expected, f"{mode}_backward")(np.asarray(dy, np.float64), cache)
    assert_close(np.asarray(y, np.float64), want, 2 * float(jnp.finfo(dtype).eps))
    assert_close(dgamma, want_dgamma, 1e-5)  # as float32 has it, not as 16 bits would
    assert_close(layer.moving_mean[...], expected.moving_mean, 1e-6)


def test_a_large_mean_costs_what_its_rounding_costs_and_no_more():
    """mean/std = 1e4 in float32: E[x^2] - E[x]^2 would leave nothing of the variance."""
    x, _ = inputs(4, D2L, 0, mean=1e4)
    x = np.asarray(x, np.float32)
    layer, expected = layer_and_reference(D2L, "float32")
    want, _ = expected.train(x.astype(np.float64))
    assert_close(layer(x), want, 1e4 * 2**-23)
    assert_close(layer.moving_var[...], expected.moving_var, 1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.usefixtures("x64")
def test_a_bad_value_stays_in_its_channel(bad, mode):
    results = []
    for value in (0.0, bad):
        layer, _ = layer_and_reference(D2L)
        getattr(layer, mode)()
        x, dy = inputs(4, D2L, 0)
        x[0, 1, 0, 0] = value
        y, dx, dgamma, dbeta = play(layer, x, dy)
        mean, var = layer.moving_statistics()
        results.append([y[:, ::2], dx[:, ::2], dgamma[::2], dbeta[::2], mean[::2], var[::2]])
    for clean, beside_bad in zip(*results, strict=True):
        np.testing.assert_array_equal(clean, beside_bad)


@pytest.mark.parametrize("eps_at", ["inside_sqrt", "outside_sqrt"])
@pytest.mark.usefixtures("x64")
def test_a_constant_channel_gives_beta(eps_at):
    layer, expected = layer_and_reference(replace(D2L, eps_at=eps_at))
    _, dy = inputs(4, D2L, 0)
    y, dx, dgamma, _ = play(layer, np.full(dy.shape, 7.25), dy)
    _, cache = expected.train(np.full(dy.shape, 7.25))
    want_dx, _, _ = expected.train_backward(dy, cache)
    np.testing.assert_array_equal(y, np.broadcast_to(layer.beta[...].reshape(3, 1, 1), y.shape))
    assert_close(dx, want_dx)
    np.testing.assert_array_equal(dgamma, np.zeros(3))


def test_an_empty_batch_leaves_everything_as_it_is():
    layer, _ = layer_and_reference(D2L, "float32")
    before = [np.array(a) for a in layer.moving_statistics()]
    empty = np.zeros((0, 3, 2, 2), np.float32)
    y, dx, dgamma, dbeta = play(layer, empty, empty)
    assert y.shape == dx.shape == empty.shape
    np.testing.assert_array_equal([dgamma, dbeta], np.zeros((2, 3)))
    np.testing.assert_array_equal(layer.moving_statistics(), before)
    assert int(layer.updates[...]) == 0


def test_single_value_per_channel():
    x = np.full((1, 3), 2.0, np.float32)
    with pytest.raises(ValueError, match="more than one value per channel"):
        BatchNorm(3, conventions=PRESETS["torch"])(x)
    layer = BatchNorm(3)
    np.testing.assert_array_equal(layer(x), np.zeros((1, 3)))
    assert_close(layer.moving_var[...], np.full(3, 0.9), 1e-6)


def test_wrong_inputs_are_refused():
    layer = BatchNorm(3)
    with pytest.raises(TypeError, match="floating-point input, got int32"):
        layer(np.ones((4, 3), np.int32))
    for shape in [(3,), (2, 3, 1, 1, 1, 1)]:
        with pytest.raises(ValueError, match="rank 2 to 5"):
            layer(np.ones(shape, np.float32))
    with pytest.raises(ValueError, match="for 3 channels got 4 on axis 1"):
        layer(np.ones((3, 4), np.float32))
    with pytest.raises(ValueError, match="at least 1"):
        BatchNorm(0)
    with pytest.raises(TypeError, match="floating-point type"):
        BatchNorm(3, dtype="int32")
    ones = jnp.ones(3)
    with pytest.raises(NotImplementedError, match="count of updates"):
        batch_norm(ones, ones, ones, ones, ones, 1e-5, 0.9, training=True, conventions=VARIANTS["debiased"])


# --- in JAX's and flax's company ---


@pytest.mark.usefixtures("x64")
def test_vmap_is_a_loop():
    rng = np.random.default_rng(4)
    many, gamma = jnp.asarray(rng.normal(size=(5, 6, 3))), jnp.asarray(rng.normal(size=3))

    def loss(x):
        y, mean, var = batch_norm(x, gamma, gamma, gamma, gamma**2, 1e-5, 0.9, training=True)
        return (y**3).sum() + (mean * var).sum()

    gradient = jax.jit(jax.grad(loss))
    assert_close(jax.jit(jax.vmap(gradient))(many), np.stack([gradient(x) for x in many]))


@pytest.mark.parametrize(
    ("shape", "axis", "joined"),
    [
        ((256, 24, 24, 6), -1, 8),
        ((2, 224, 3), -1, 16),
        ((8, 7, 7, 32), -1, 1),  # 7 * 32 is more than are summed at full rate, and no less divides 7
        ((64, 56, 56, 64), -1, 1),
        ((256, 3), -1, 1),  # the neighbours are other examples
        ((256, 6, 24, 24), 1, 1),
    ],
)
def test_few_channels_are_summed_with_their_neighbours(shape, axis, joined):
    assert sums_over(jnp.zeros(shape), replace(D2L, channel_axis=axis)).joined == joined


@pytest.mark.parametrize(("shape", "of_joined"), [((4, 8, 8, 120), 0), ((4, 8, 24, 6), 48)])
def test_backward_keeps_one_array_and_two_numbers_per_channel(shape, of_joined):
    """And where neighbours are joined, one for each lane."""
    with jax.enable_x64(False):  # which other tests of this process may have enabled
        x, channels = jnp.ones(shape), shape[-1]
        layer = BatchNorm(channels, conventions=PRESETS["flax"])
        kept = kept_bytes(*forward_of(layer), x)
    assert x.nbytes < kept <= x.nbytes + 4 * (2 * channels + of_joined + 4)  # some scalars as well


def test_a_sharding_that_is_part_of_the_type_is_kept():
    """JAX would refuse to join axes there."""
    conventions, ones = PRESETS["flax"], jnp.ones(3)
    x = jnp.asarray(np.random.default_rng(6).normal(size=(4, 2, 8, 3)), jnp.float32)

    def gradient(x):
        def loss(x):
            y, *_ = batch_norm(x, ones, ones, ones, ones, 1e-5, 0.9, training=True, conventions=conventions)
            return (y**3).sum()

        return jax.grad(loss)(x)

    mesh = jax.make_mesh((1,), ("data",), axis_types=(jax.sharding.AxisType.Explicit,))
    with jax.set_mesh(mesh):
        spec = jax.sharding.PartitionSpec("data", None, None, None)
        sharded = jax.jit(gradient)(jax.device_put(x, jax.sharding.NamedSharding(mesh, spec)))
    assert sharded.sharding.spec == spec
    assert sums_over(x, conventions).joined == 8
    assert_close(sharded, jax.jit(gradient)(x), 1e-5)


def test_eps_and_momentum_may_be_traced():
    x = jnp.asarray(np.random.default_rng(5).normal(size=(6, 3)), jnp.float32)
    ones = jnp.ones(3)

    def new_statistics(eps, momentum):
        return batch_norm(x, ones, ones, ones, ones, eps, momentum, training=True)

    for traced, plain in zip(jax.jit(new_statistics)(0.1, 0.3), new_statistics(0.1, 0.3), strict=True):
        assert_close(traced, plain, 1e-6)


def test_module_state_survives_a_round_trip():
    layer, _ = layer_and_reference(VARIANTS["debiased"], "float32")
    x, _ = inputs(2, D2L, 0)
    layer(x.astype(np.float32))
    graph, state = nnx.split(layer)
    again = nnx.merge(graph, jax.tree.map(jnp.array, state))
    layer.eval()
    again.eval()
    np.testing.assert_array_equal(again(x.astype(np.float32)), layer(x.astype(np.float32)))
    assert int(again.updates[...]) == 1


def test_the_mode_is_the_modules_not_the_gradients():
    net = lenet.LeNet(initial_weights(0))
    assert not net.bn1.use_running_average
    net.eval()
    assert net.bn1.use_running_average
    assert net.bn4.use_running_average
    assert not nnx.view(net, use_running_average=False).bn1.use_running_average
    before = net.save_weights()
    nnx.jit(lambda net, images: net(images))(net, jnp.ones((2, 28, 28)))  # in prediction mode nothing moves
    np.testing.assert_array_equal(net.save_weights()["bn1.moving_mean"], before["bn1.moving_mean"])
