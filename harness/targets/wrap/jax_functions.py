"""Derivatives of a JAX function. Of one that is compiled, each is one program that has the function within it.

So it is in a training step; a program for forward and another for backward take twice as long to make. What is not
compiled runs operation by operation, and so do its derivatives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax

from harness.targets.results import Results
from harness.targets.wrap import jax_derivatives
from harness.targets.wrap.called import Called, Forward

COMPILED = type(jax.jit(abs))
TAKES_NO_TRACERS = (TypeError, ValueError)
"""What comes of a function some of whose numbers are static: they are no constants within another program."""


def gradients(forward: Forward, point: Sequence[Any], dy: Any) -> tuple[Any, Any, Any]:
    """(y, (dx, dgamma, dbeta), the moving statistics) at point, (x, gamma, beta), for the upstream gradient dy."""
    return _compiled(
        forward,
        lambda: _gradients_compiled(forward.called, forward.given, point, dy),
        lambda: _gradients(forward, point, dy),
    )


def twice(forward: Forward, point: Sequence[Any], dy: Any, directions: Sequence[Any]) -> Results:
    """As `jax_derivatives.twice`."""
    y_of, order = YOf(forward.called), jax_derivatives.ORDER.get()
    return _compiled(
        forward,
        lambda: jax_derivatives.twice_compiled(y_of, order, forward.given, point, dy, directions),
        lambda: jax_derivatives.twice(forward, point, dy, directions),
    )


def tangent(forward: Forward, point: Sequence[Any], tangents: Sequence[Any]) -> Results:
    """As `jax_derivatives.tangent`."""
    return _compiled(
        forward,
        lambda: jax_derivatives.tangent_compiled(YOf(forward.called), forward.given, point, tangents),
        lambda: jax_derivatives.tangent(forward, point, tangents),
    )


def _compiled(forward: Forward, as_one: Callable[[], Any], step_by_step: Callable[[], Any]) -> Any:
    if not isinstance(forward.called.target, COMPILED):
        return step_by_step()
    try:
        return as_one()
    except TAKES_NO_TRACERS:
        return step_by_step()


def _gradients(forward: Forward, point: Sequence[Any], dy: Any) -> tuple[Any, Any, Any]:
    y, backward, moved = jax.vjp(forward, *point, has_aux=True)
    return y, backward(dy), moved


@partial(jax.jit, static_argnums=0)
def _gradients_compiled(called: Called, given: Any, point: Any, dy: Any) -> Any:
    return _gradients(Forward(called, *given), point, dy)


@dataclass(frozen=True)
class YOf:
    """y as a function of (the rest that is given, x, gamma, beta). Two that are equal compile to one program."""

    called: Called

    def __call__(self, given: Any, *point: Any) -> Any:
        arrays, numbers = given
        return Forward(self.called, arrays, numbers, with_moved=False)(*point)
