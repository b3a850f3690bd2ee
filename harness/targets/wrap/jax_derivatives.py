"""Forward mode and second derivatives in JAX: jvp, and vjp of vjp."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax

Forward = Callable[..., Any]
"""(x, gamma, beta) -> y."""


def twice(forward: Forward, point: Sequence[Any], dy: Any, directions: Sequence[Any]) -> dict[str, Any]:
    """{"dx2", "ddy", "dgamma2"} at point, (x, gamma, beta), along directions of their shapes."""

    def gradients(dy: Any, *inputs: Any) -> Any:
        return jax.vjp(forward, *inputs)[1](dy)

    _, backward = jax.vjp(gradients, dy, *point)
    ddy, dx2, dgamma2, _ = backward(tuple(directions))
    return {"dx2": dx2, "ddy": ddy, "dgamma2": dgamma2}


def tangent(forward: Forward, point: Sequence[Any], tangents: Sequence[Any]) -> dict[str, Any]:
    """{"ty"}. Raises NotImplementedError for a function with a custom_vjp, which forbids forward mode."""
    try:
        return {"ty": jax.jvp(forward, tuple(point), tuple(tangents))[1]}
    except TypeError as error:
        if "custom_vjp" in str(error):
            raise NotImplementedError(str(error)) from error
        raise
