"""Whether the Pallas kernels are faster than plain operations on this GPU, by running both."""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from time import perf_counter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from impls.jax_flax.channels import sums_over, widened
from impls.jax_flax.fast_batch_norm import normalize_by_batch
from impls.jax_flax.pallas_plan import Chip

ROUNDS = 5
CALLS = 10
"""In a round."""

Way = Callable[[], Any]
"""Computes (y, dx, dgamma, dbeta) of an example."""


@cache
def is_faster(shape: tuple[int, ...], dtype: str, conventions: Any) -> bool:
    """Whether forward and backward in training take less time by the kernels than by plain operations, here and now.

    Measured once for a shape. In a thread of its own, since the caller may be under a trace, which is the thread's.
    Kernels that fail, or give other numbers than the plain operations, are not taken: a RuntimeWarning says why.
    """
    x64 = jax.dtypes.canonicalize_dtype("float64").itemsize == 8  # may be the thread's as well
    with ThreadPoolExecutor(1) as thread:
        seconds, failure = thread.submit(measured, shape, dtype, conventions, x64).result()
    if failure:
        warnings.warn(f"Pallas kernels are not used for {dtype} {shape}: {failure}", RuntimeWarning, 2)
        return False
    ours, theirs = (statistics.median(times) for times in zip(*seconds, strict=True))
    return ours < theirs


def measured(shape: tuple[int, ...], dtype: str, conventions: Any, x64: bool) -> tuple[list[tuple[float, float]], str]:
    """([(seconds by the kernels, by plain operations) of each round], why there are none)."""
    with jax.enable_x64(x64):
        given = example(shape, dtype, conventions)
        plain, by_kernels = (partial(way(conventions), *given) for way in (plain_way, kernel_way))
        try:
            agrees = agree(by_kernels(), plain(), dtype)
        except Exception as error:  # whatever a compiler or a driver raises
            return [], f"they fail: {error}"
        if not agrees:
            return [], "they give other numbers than XLA"
        return [(seconds_of(by_kernels), seconds_of(plain)) for _ in range(ROUNDS)], ""


def kernel_way(conventions: Any) -> Any:
    from impls.jax_flax import pallas_batch_norm  # only where Pallas is

    def forward(x: Any, gamma: Any, beta: Any) -> Any:
        _, gamma, beta = widened(x, gamma, beta, conventions)
        eps = jnp.asarray(1e-5, gamma.dtype)
        return pallas_batch_norm.normalize_by_batch(x, gamma, beta, eps, conventions, Chip())[0]

    return forward_backward(forward)


def plain_way(conventions: Any) -> Any:
    def forward(x: Any, gamma: Any, beta: Any) -> Any:
        wide, gamma, beta = widened(x, gamma, beta, conventions)
        sums = sums_over(x, conventions)
        y, _, _ = normalize_by_batch(sums.join(wide), gamma, beta, jnp.asarray(1e-5, gamma.dtype), sums, conventions)
        return y.reshape(x.shape).astype(x.dtype)

    return forward_backward(forward)


def forward_backward(forward: Any) -> Any:
    """(x, dy, gamma, beta) -> (y, dx, dgamma, dbeta), compiled."""

    @jax.jit
    def both(x: Any, dy: Any, gamma: Any, beta: Any) -> Any:
        y, backward = jax.vjp(forward, x, gamma, beta)
        return y, *backward(dy)

    return both


def example(shape: tuple[int, ...], dtype: str, conventions: Any) -> tuple[jax.Array, ...]:
    """x, dy, gamma, beta: (C,) the last two, in the dtype of the arithmetic."""
    rng = np.random.default_rng(0)
    wide = jnp.promote_types(dtype, jnp.float32)
    channels = shape[conventions.channel_axis]
    x, dy = (jnp.asarray(rng.normal(mean, 1, shape), dtype) for mean in (1, 0))
    gamma, beta = (jnp.asarray(rng.normal(mean, 0.1, channels), wide) for mean in (1, 0))
    return x, dy, gamma, beta


def agree(got: Iterable[jax.Array], wanted: Iterable[jax.Array], dtype: str) -> bool:
    """To half of the digits of the dtype, measured by the largest number."""
    tolerance = float(jnp.finfo(dtype).eps) ** 0.5
    pairs = zip(got, wanted, strict=True)
    return all(bool(jnp.max(jnp.abs(a - b)) <= tolerance * jnp.max(jnp.abs(b))) for a, b in pairs)


def seconds_of(way: Way) -> float:
    started = perf_counter()
    for _ in range(CALLS):
        results = way()
    jax.block_until_ready(results)
    return perf_counter() - started
