"""A batch norm folded into what comes before it predicts the same, within the bound of a fold, in every framework."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from reference import batch_norm as numpy_batch_norm
from reference import fold as numpy_fold
from reference.conventions import D2L, PRESETS
from reference.error_bounds import precision_of
from reference.fold_bounds import FoldedInto, FoldParameters, folded_output_bound

N, K, C = 16, 24, 40
CONVENTIONS = {
    "d2l": D2L,
    "torch": PRESETS["torch"],
    "debiased": replace(D2L, debias=True),
    "outside": replace(D2L, eps_at="outside_sqrt"),
}


def given(dtype="float32"):
    """x (N, K), weight (K, C), bias (C,) of a dense layer, and a batch norm: large means, a variance 0."""
    rng = np.random.default_rng(3)
    x, weight, bias = rng.normal(size=(N, K)), rng.normal(size=(K, C)), rng.normal(size=C)
    of_norm = {
        "gamma": rng.uniform(-2, 2, C),
        "beta": rng.normal(size=C),
        "mean": rng.normal(size=C) * 10.0 ** rng.integers(0, 5, C),
        "var": rng.uniform(0.1, 4, C),
    }
    of_norm["var"][0] = 0.0
    bias = np.where(np.arange(C) % 2, of_norm["mean"], bias)  # b' cancels
    return (a.astype(dtype) for a in (x, weight, bias)), {name: a.astype(dtype) for name, a in of_norm.items()}


def by_numpy(weight, bias, of_norm, conventions):
    layer = numpy_batch_norm.BatchNorm(C, conventions=conventions, dtype=weight.dtype.name)
    layer.gamma, layer.beta = of_norm["gamma"], of_norm["beta"]
    layer.average_mean, layer.average_var = of_norm["mean"], of_norm["var"]
    return numpy_fold.fold(weight, bias, layer, output_axis=-1), layer.eps


def by_torch(weight, bias, of_norm, conventions):
    torch = pytest.importorskip("torch")
    from impls.pytorch.batch_norm import BatchNorm
    from impls.pytorch.fold import fold

    layer = BatchNorm(C, conventions=conventions, dtype=getattr(torch, weight.dtype.name)).eval()
    with torch.no_grad():
        for ours, name in (("gamma", "gamma"), ("beta", "beta"), ("moving_mean", "mean"), ("moving_var", "var")):
            getattr(layer, ours).copy_(torch.from_numpy(of_norm[name]))
    folded = fold(torch.from_numpy(weight.T.copy()), None if bias is None else torch.from_numpy(bias), layer)
    return (folded[0].numpy().T, folded[1].numpy()), layer.eps


def by_jax(weight, bias, of_norm, conventions):
    jnp = pytest.importorskip("jax.numpy")
    pytest.importorskip("flax")
    from impls.jax_flax.batch_norm import BatchNorm
    from impls.jax_flax.fold import fold

    layer = BatchNorm(C, conventions=conventions, dtype=weight.dtype)
    for ours, name in (("gamma", "gamma"), ("beta", "beta"), ("moving_mean", "mean"), ("moving_var", "var")):
        getattr(layer, ours)[...] = jnp.asarray(of_norm[name])
    folded = fold(jnp.asarray(weight), None if bias is None else jnp.asarray(bias), layer)
    return tuple(np.asarray(a) for a in folded), layer.eps


FRAMEWORKS = {"numpy": by_numpy, "torch": by_torch, "jax": by_jax}


@pytest.mark.parametrize("conventions", CONVENTIONS)
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_dense_layer_stays_within_the_bound_of_a_fold(framework, conventions):
    (x, weight, bias), of_norm = given()
    chosen = CONVENTIONS[conventions]
    (folded_weight, folded_bias), eps = FRAMEWORKS[framework](weight, bias, of_norm, chosen)
    assert folded_weight.dtype == folded_bias.dtype == np.float32
    y = x @ folded_weight + folded_bias
    wide = {name: a.astype(np.longdouble) for name, a in of_norm.items()}
    root = np.sqrt(wide["var"] + eps) if chosen.eps_at == "inside_sqrt" else np.sqrt(wide["var"]) + eps
    z = x.astype(np.longdouble) @ weight.astype(np.longdouble) + bias
    exact = wide["gamma"] * (z - wide["mean"]) / root + wide["beta"]
    parameters = FoldParameters(*(wide[name] for name in ("gamma", "beta", "mean", "var")), eps, chosen.eps_at)
    linear = FoldedInto(weight.astype(np.float64), bias.astype(np.float64))
    bound = folded_output_bound(x.astype(np.float64)[:, :, None], linear, parameters, precision_of("float32"))
    ratio = np.abs(y - exact) / bound
    assert 0.01 < ratio.max() <= 1


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_no_bias_is_one_of_zeros(framework):
    (_, weight, bias), of_norm = given()
    (without, _), (zeros, _) = (FRAMEWORKS[framework](weight, b, of_norm, D2L) for b in (None, np.zeros_like(bias)))
    assert all(np.array_equal(a, b) for a, b in zip(without, zeros, strict=True))


@pytest.mark.parametrize("kind", ["conv", "grouped conv", "transposed", "grouped transposed", "linear"])
def test_what_torch_computes_is_the_same(kind):
    """The batch norm after the layer, and the layer that it was folded into; float64, outputs that differ in scale."""
    torch = pytest.importorskip("torch")
    from impls.pytorch.batch_norm import BatchNorm
    from impls.pytorch.fold import fold

    torch.manual_seed(0)
    groups = 2 if kind.startswith("grouped") else 1
    made = {
        "conv": lambda: torch.nn.Conv2d(4, 6, 3),
        "grouped conv": lambda: torch.nn.Conv2d(4, 6, 3, groups=2, bias=False),
        "transposed": lambda: torch.nn.ConvTranspose2d(4, 6, 3),
        "grouped transposed": lambda: torch.nn.ConvTranspose2d(4, 6, 3, groups=2),
        "linear": lambda: torch.nn.Linear(4, 6),
    }
    layer, norm = made[kind]().double(), BatchNorm(6, dtype=torch.float64).eval()
    transposed = "transposed" in kind
    with torch.no_grad():
        for number, array in enumerate((norm.gamma, norm.beta, norm.moving_mean, norm.moving_var)):
            array.copy_(torch.arange(1, 7) * (number + 1.0))
        x = torch.randn(3, 4, *(() if kind == "linear" else (5, 5)), dtype=torch.float64)
        want = norm(layer(x))
        axis, of_weight = (1, groups) if transposed else (0, 1)
        weight, bias = fold(layer.weight, layer.bias, norm, axis, of_weight)
        layer.weight.copy_(weight)
        layer.bias = torch.nn.Parameter(bias)
        torch.testing.assert_close(layer(x), want, rtol=1e-13, atol=1e-13)
    assert not weight.requires_grad
    by_numpy = numpy_fold.for_each_output(np.arange(6.0), tuple(weight.shape), axis, of_weight)
    assert np.broadcast_to(by_numpy, weight.shape).shape == tuple(weight.shape)


def test_a_convolution_of_jax_is_the_same():
    jax = pytest.importorskip("jax")
    pytest.importorskip("flax")
    from impls.jax_flax.batch_norm import BatchNorm
    from impls.jax_flax.fold import fold

    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(2, 6, 6, 4)).astype(np.float32), rng.normal(size=(3, 3, 4, 5)).astype(np.float32)
    norm = BatchNorm(5, conventions=PRESETS["flax"], use_running_average=True)
    for number, variable in enumerate((norm.gamma, norm.beta, norm.moving_mean, norm.moving_var)):
        variable[...] = jax.numpy.arange(1, 6) * (number + 1.0)

    def convolved(kernel):
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    weight, bias = fold(kernel, None, norm)
    np.testing.assert_allclose(convolved(weight) + bias, norm(convolved(kernel)), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_another_number_of_outputs_is_refused(framework):
    (_, weight, bias), of_norm = given()
    with pytest.raises(ValueError, match="a batch norm of 40 channels is folded into as many outputs"):
        FRAMEWORKS[framework](weight[:, 1:], bias, of_norm, D2L)
