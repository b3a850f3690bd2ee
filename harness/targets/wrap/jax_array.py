"""An array of NumPy's on JAX's device."""

from __future__ import annotations

import jax
import numpy as np


def jax_array(x: np.ndarray) -> jax.Array:
    """A copy of x, whatever its strides.

    `jnp.asarray` compiles a program for each shape to do this, which takes longer than most steps of a batch norm.
    `device_put` may share the memory that it is given, hence the copy, which nobody else holds.
    """
    return jax.device_put(np.array(x))
