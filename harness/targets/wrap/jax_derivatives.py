"""Forward mode and second derivatives in JAX: jvp, and vjp of vjp or another order of the two."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

import jax

from harness.targets.results import Results

Forward = Callable[..., Any]
"""(x, gamma, beta) -> y."""

Order = Callable[..., Results]
"""(forward, point, dy, directions) -> {"dx2", "ddy", "dgamma2"}."""


def twice(
    forward: Forward, point: Sequence[Any], dy: Any, directions: Sequence[Any], order: Order | None = None
) -> Results:
    """{"dx2", "ddy", "dgamma2"} at point, (x, gamma, beta), along directions of their shapes; in the order `ORDER`."""
    with _forward_mode_may_be_forbidden():
        return (order or ORDER.get())(forward, tuple(point), dy, tuple(directions))


def reverse_over_reverse(forward: Forward, point: Any, dy: Any, directions: Any) -> Results:
    """vjp of vjp, as grad of grad."""

    def gradients(dy: Any, *inputs: Any) -> Any:
        return jax.vjp(forward, *inputs)[1](dy)

    _, backward = jax.vjp(gradients, dy, *point)
    ddy, dx2, dgamma2, _ = backward(directions)
    return {"dx2": dx2, "ddy": ddy, "dgamma2": dgamma2}


def forward_over_reverse(forward: Forward, point: Any, dy: Any, directions: Any) -> Results:
    """jvp of vjp, as jax.hessian: the second derivatives of <dy, y> are symmetric, and ddy is y's own tangent."""

    def y_and_gradients(*point: Any) -> Any:
        y, backward = jax.vjp(forward, *point)
        return y, backward(dy)

    _, (ddy, (dx2, dgamma2, _)) = jax.jvp(y_and_gradients, point, directions)
    return {"dx2": dx2, "ddy": ddy, "dgamma2": dgamma2}


def reverse_over_forward(forward: Forward, point: Any, dy: Any, directions: Any) -> Results:
    """vjp of jvp: y's tangent is ddy, and the gradient of <dy, ddy> is what is left."""

    def along(*point: Any) -> Any:
        return jax.jvp(forward, point, directions)[1]

    ddy, backward = jax.vjp(along, *point)
    dx2, dgamma2, _ = backward(dy)
    return {"dx2": dx2, "ddy": ddy, "dgamma2": dgamma2}


def forward_over_forward(forward: Forward, point: Any, dy: Any, directions: Any) -> Results:
    """jvp of jvp, along the directions and along (dy, 0, 0): dx2, since dy/dx is symmetric (ERROR_BOUNDS.md, 16).

    dgamma2 is the sum of dy times the same along gamma, added up as beta's gradient is. Of 16-bit x it is not given:
    what is added up has y's type, and has been rounded to it.
    """
    x, gamma, beta = point

    def along(*point: Any) -> Any:
        return jax.jvp(forward, point, directions)[1]

    no_x, no_gamma, no_beta = (jax.numpy.zeros_like(of) for of in point)
    ddy, dx2 = jax.jvp(along, point, (dy, no_gamma, no_beta))
    _, by_gamma = jax.jvp(along, point, (no_x, jax.numpy.ones_like(gamma), no_beta))
    (dgamma2,) = jax.vjp(lambda beta: forward(x, gamma, beta), beta)[1](dy * by_gamma)
    return {"dx2": dx2, "ddy": ddy} | ({} if x.dtype.itemsize == 2 else {"dgamma2": dgamma2})


ORDER: ContextVar[Order] = ContextVar("ORDER", default=reverse_over_reverse)
"""In which order the two derivatives are taken."""


def tangent(forward: Forward, point: Sequence[Any], tangents: Sequence[Any]) -> Results:
    """{"ty"}. Raises NotImplementedError for a function with a custom_vjp, which forbids forward mode."""
    with _forward_mode_may_be_forbidden():
        return {"ty": jax.jvp(forward, tuple(point), tuple(tangents))[1]}


@partial(jax.jit, static_argnums=(0, 1))
def twice_compiled(
    function: Callable[..., Any], order: Order, arrays: Any, point: Any, dy: Any, directions: Any
) -> Any:
    """`twice` of function(arrays, x, gamma, beta): functions that are equal have one program."""
    return twice(partial(function, arrays), point, dy, directions, order)


@partial(jax.jit, static_argnums=0)
def tangent_compiled(function: Forward, arrays: Any, point: Any, tangents: Any) -> Results:
    """`tangent`, likewise."""
    return tangent(partial(function, arrays), point, tangents)


@contextmanager
def _forward_mode_may_be_forbidden() -> Iterator[None]:
    """By a custom_vjp: JAX's TypeError as NotImplementedError."""
    try:
        yield
    except TypeError as error:
        if "custom_vjp" in str(error):
            raise NotImplementedError(str(error)) from error
        raise
