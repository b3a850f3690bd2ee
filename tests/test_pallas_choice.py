"""Which batch norms the Pallas kernels take: where they can, where it is demanded, and where they are faster."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

jax = pytest.importorskip("jax")
pytest.importorskip("flax")

import jax.numpy as jnp  # noqa: E402  (after the skip)

from impls.jax_flax import pallas_choice, pallas_measurement  # noqa: E402
from impls.jax_flax.batch_norm import batch_norm  # noqa: E402
from impls.jax_flax.pallas_choice import suits_kernels  # noqa: E402
from impls.jax_flax.pallas_layer import SMALL  # noqa: E402
from reference.conventions import D2L  # noqa: E402


def described(shape=(6, 2), dtype="float32"):
    return jax.ShapeDtypeStruct(shape, dtype)


def test_what_the_kernels_are_given():
    wide = jnp.dtype("float32")
    assert suits_kernels(described(), wide, D2L, True)
    assert suits_kernels(described(dtype="bfloat16"), wide, D2L, SMALL)
    assert not suits_kernels(described(), wide, D2L, False)
    assert not suits_kernels(described(), wide, D2L, None)  # no GPU
    assert not suits_kernels(described((0, 2)), wide, D2L, True)
    assert not suits_kernels(described((2**16, 2**15)), wide, D2L, True)
    assert not suits_kernels(described(), jnp.dtype("float64"), D2L, True)
    assert not suits_kernels(described(), wide, replace(D2L, eps_at="outside_sqrt"), True)


def test_without_pallas_they_are_refused_where_they_are_demanded(monkeypatch):
    monkeypatch.setattr(pallas_choice, "has_pallas", lambda: False)
    monkeypatch.setattr(pallas_choice, "is_one_gpu", lambda: True)
    assert not suits_kernels(described(), jnp.dtype("float32"), D2L, None)
    with pytest.raises(RuntimeError, match=r"no jax\.experimental\.pallas\.triton"):
        suits_kernels(described(), jnp.dtype("float32"), D2L, True)


@pytest.fixture
def measured(monkeypatch):
    """`is_faster` as if there were a GPU, by seconds that it is told; both ways do run, while something is traced."""
    monkeypatch.setattr(pallas_choice, "is_one_gpu", lambda: True)
    pallas_measurement.is_faster.cache_clear()

    def choose(ours, theirs):
        seconds = iter([ours, theirs] * pallas_measurement.ROUNDS)
        monkeypatch.setattr(pallas_measurement, "seconds_of", lambda way: (way(), next(seconds))[1])
        x, zeros, ones = jnp.asarray([[1, 2], [3, 5]], "float32"), jnp.zeros(2, "float32"), jnp.ones(2, "float32")
        statistics = (ones, zeros, zeros, ones, 1e-3, 0.5)  # gamma, beta, moving_mean, moving_var, eps, momentum
        traced = jax.make_jaxpr(lambda x: batch_norm(x, *statistics, training=True, kernels=None)[0])(x)
        return "pallas_call" in str(traced)

    yield choose
    pallas_measurement.is_faster.cache_clear()


def test_the_faster_way_is_taken(measured):
    assert measured(1.0, 2.0)
    assert measured(2.0, 1.0)  # not measured again
    pallas_measurement.is_faster.cache_clear()
    assert not measured(2.0, 1.0)


def test_kernels_that_fail_or_err_are_not_taken(measured, monkeypatch):
    monkeypatch.setattr(pallas_measurement, "agree", lambda *_: False)
    with pytest.warns(RuntimeWarning, match="float32.*other numbers than XLA"):
        assert not measured(1.0, 2.0)
    pallas_measurement.is_faster.cache_clear()

    def fails(*_):
        raise ValueError("no such instruction")

    monkeypatch.setattr(pallas_measurement, "agree", fails)
    with pytest.warns(RuntimeWarning, match="float32.*fail: no such instruction"):
        assert not measured(1.0, 2.0)


def test_numbers_agree_to_half_of_their_digits():
    wanted = [jnp.asarray([1.0, 1000.0])]
    assert pallas_measurement.agree([wanted[0] + 0.2], wanted, "float32")
    assert not pallas_measurement.agree([wanted[0] + 1.0], wanted, "float32")
    assert not pallas_measurement.agree([wanted[0] * jnp.nan], wanted, "float32")


def test_pallas_is_imported_when_it_is_needed():
    """It takes half a second."""
    code = "import sys, impls.jax_flax.batch_norm; print('jax.experimental.pallas' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
