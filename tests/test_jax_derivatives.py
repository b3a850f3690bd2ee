"""Our JAX function in forward mode and differentiated twice, by every composition, in float64."""

from dataclasses import replace

import numpy as np
import pytest

from reference.conventions import D2L
from reference.second_derivatives import TwiceDifferentiable

jax = pytest.importorskip("jax")
pytest.importorskip("flax.nnx")

import jax.numpy as jnp  # noqa: E402  (after the skip)

from impls.jax_flax.batch_norm import batch_norm  # noqa: E402


@pytest.fixture(autouse=True)
def _x64():
    with jax.enable_x64(True):
        yield


def second_derivatives(function, way, point, dy, directions):
    """(dx2, dgamma2) along the directions, by the composition that `way` names."""

    def gradients(*inputs):
        return jax.vjp(function, *inputs)[1](dy)

    if way == "jvp of vjp":
        dx2, dgamma2, _ = jax.jvp(gradients, point, directions)[1]
    elif way == "vjp of jvp":
        dx2, dgamma2, _ = jax.vjp(lambda *inputs: jax.jvp(function, inputs, directions)[1], *point)[1](dy)
    else:
        dx2, dgamma2, _ = jax.vjp(gradients, *point)[1](directions)
    return dx2, dgamma2


@pytest.mark.parametrize("eps_at", ["inside_sqrt", "outside_sqrt"])
@pytest.mark.parametrize("training", [True, False])
def test_forward_mode_and_second_derivatives_are_the_reference_s(training, eps_at):
    conventions = replace(D2L, eps_at=eps_at)
    rng = np.random.default_rng(6)
    x, dy, ddx = rng.standard_normal((3, 4, 3, 5))
    gamma, beta, ddgamma, ddbeta, mean = rng.standard_normal((5, 3))
    reference = TwiceDifferentiable(3, 1e-3, 0.9, conventions)
    reference.gamma, reference.beta, reference.average_mean = gamma, beta, mean
    mode = "train" if training else "eval"
    dx2, _, dgamma2 = getattr(reference, f"{mode}_double")(x, dy, ddx, ddgamma, ddbeta)
    ty = getattr(reference, f"{mode}_jvp")(x, ddx, ddgamma, ddbeta)

    def function(x, gamma, beta):
        given = (jnp.asarray(mean), jnp.ones(3), 1e-3, 0.9)
        return batch_norm(x, gamma, beta, *given, training=training, conventions=conventions)[0]

    point = tuple(map(jnp.asarray, (x, gamma, beta)))
    directions = tuple(map(jnp.asarray, (ddx, ddgamma, ddbeta)))
    tangent = jax.jit(lambda point, directions: jax.jvp(function, point, directions)[1])(point, directions)
    np.testing.assert_allclose(tangent, ty, rtol=1e-12, atol=1e-12)
    for way in ("jvp of vjp", "vjp of jvp", "vjp of vjp"):
        got = jax.jit(second_derivatives, static_argnums=(0, 1))(function, way, point, jnp.asarray(dy), directions)
        np.testing.assert_allclose(got[0], dx2, rtol=1e-11, atol=1e-11, err_msg=way)
        np.testing.assert_allclose(got[1], dgamma2, rtol=1e-11, atol=1e-11, err_msg=way)


def test_a_constant_channel_has_finite_second_derivatives():
    conventions = replace(D2L, eps_at="outside_sqrt")
    x = jnp.asarray(np.random.default_rng(7).standard_normal((6, 3))).at[:, 1].set(0.5)

    def loss(x):
        given = (jnp.ones(3), jnp.zeros(3), jnp.zeros(3), jnp.ones(3), 1e-3, 0.9)
        return (batch_norm(x, *given, training=True, conventions=conventions)[0] ** 3).sum()

    for hessian in (jax.jacfwd(jax.grad(loss)), jax.jacrev(jax.grad(loss))):
        assert bool(jnp.isfinite(jax.jit(hessian)(x)).all())
