"""Second derivatives of JAX's layers in the other orders: what jax.hessian takes, a gradient of a jvp, jvp of jvp."""

from __future__ import annotations

from typing import Any

from harness.targets.results import Members, Results
from harness.targets.wrap import jax_derivatives

ORDERS = {
    "forward-over-reverse": jax_derivatives.forward_over_reverse,
    "reverse-over-forward": jax_derivatives.reverse_over_forward,
    "forward-over-forward": jax_derivatives.forward_over_forward,
}


def members(name: str) -> Members:
    """What a subclass of the adapter has in place of its own."""

    def twice(self: Any, *arguments: Any) -> Results:
        token = jax_derivatives.ORDER.set(ORDERS[name])
        try:
            return type(self).untransformed._twice(self, *arguments)
        finally:
            jax_derivatives.ORDER.reset(token)

    return {"_twice": twice}
