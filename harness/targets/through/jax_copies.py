"""Another batch, and another layer beside the judged one, as vmap has them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp


def another(x: Any) -> Any:
    """Another batch of x's shape, finite and not constant: nothing of it may show in what is judged."""
    return jnp.linspace(3.0, 5.0, max(x.size, 1))[: x.size].reshape(x.shape).astype(x.dtype)


def two(tree: Any) -> Any:
    """Each array twice, the first copy moved by one: what belongs to another layer beside the judged one."""
    return jax.tree.map(lambda array: jnp.stack([array + jnp.ones_like(array), array]), tree)


def second(tree: Any) -> Any:
    return jax.tree.map(lambda array: array[1], tree)
