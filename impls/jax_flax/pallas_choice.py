"""Whether a layer's call goes to the Pallas kernels. What this imports is there without Pallas."""

from __future__ import annotations

import importlib.util
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp

from impls.jax_flax.pallas_measurement import is_faster
from impls.jax_flax.pallas_plan import LARGEST, Kernels

DTYPES = ("float64", "float32", "bfloat16", "float16")


def suits_kernels(x: Any, parameter_dtype: Any, conventions: Any, kernels: Kernels) -> bool:
    """Whether a call on x, with gamma of `parameter_dtype`, is computed by the Pallas kernels.

    They do not take empty batches, shapes that are not known, more than 2^30 values, parameters of another dtype
    than that of the arithmetic, and eps outside the root: those take plain operations. Left to choose, they take a
    GPU that is alone: x may be sharded over several, and XLA does not split a kernel.
    Raises RuntimeError where they are demanded and JAX has no Pallas for Triton.
    """
    if kernels is False or (kernels is None and not is_one_gpu()):
        return False
    if not has_pallas():
        if kernels is None:
            return False
        raise RuntimeError("the kernels were demanded, and this JAX has no jax.experimental.pallas.triton")
    sizes_known = all(isinstance(size, int) for size in x.shape)
    suits = (
        conventions.eps_at == "inside_sqrt"
        and x.dtype.name in DTYPES
        and parameter_dtype == jnp.promote_types(x.dtype, jnp.float32)
        and sizes_known
        and 0 < x.size <= LARGEST
    )
    return suits and (kernels is not None or is_faster(x.shape, x.dtype.name, conventions))


def is_one_gpu() -> bool:
    return jax.default_backend() == "gpu" and jax.device_count() == 1


@cache
def has_pallas() -> bool:
    try:
        return importlib.util.find_spec("jax.experimental.pallas.triton") is not None
    except ImportError:  # of what it is made of
        return False
