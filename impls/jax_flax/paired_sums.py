"""Sums over a channel whose order is known, in pairs, and their transpose. x is (rows, channels, inner) or
(rows, channels); what belongs to a channel is (C,).

XLA's own sums are documented in no order, and JAX makes one wherever it differentiates a broadcast. So both directions
are functions here, and each is the other's derivative, as often as one likes. Forward mode they have none.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp


def add_in_pairs(rows):
    """(n, ...) -> (...): the first half is added to the second until one is left (Higham 2002, section 4.1)."""
    while len(rows) > 1:
        half = len(rows) // 2
        pairs = rows[:half] + rows[half : 2 * half]
        rows = jnp.concatenate([pairs, rows[2 * half :]]) if len(rows) % 2 else pairs  # an odd one is left over
    return rows[0]


@jax.custom_vjp
def total(x):
    """x -> (C,)"""
    if x.ndim == 3:
        x = x.transpose(2, 0, 1).reshape(-1, x.shape[1])  # (n, C)
    return add_in_pairs(x)


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def spread(value, shape):
    """(C,) -> x's shape"""
    return jnp.broadcast_to(value[:, None] if len(shape) == 3 else value, shape)


total.defvjp(lambda x: (total(x), x.shape), lambda shape, of_total: (spread(of_total, shape),))
spread.defvjp(lambda value, shape: (spread(value, shape), None), lambda _shape, _, of_x: (total(of_x),))
