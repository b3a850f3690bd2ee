"""Second derivatives of torch modules by torch.func, in the orders that autograd.grad twice does not take.

As jax_derivatives.py has them. The layer is called as a function of x, gamma and beta, on copies of its buffers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call

from harness.targets.results import Members
from harness.targets.through.torch_layer import first_line, mode
from harness.targets.wrap.torch_module import TorchModule, to_numpy

jvp: Any = torch.func.jvp
vjp: Any = torch.func.vjp
Point = tuple[Tensor, ...]
Forward = Callable[..., Tensor]
"""(x, gamma, beta) -> y."""
Results = dict[str, Tensor]


def forward_over_reverse(forward: Forward, point: Point, dy: Tensor, directions: Point) -> Results:
    """{"dx2", "ddy", "dgamma2"} by jvp of vjp: y's own tangent is ddy."""

    def y_and_gradients(*point: Tensor) -> Any:
        y, backward = vjp(forward, *point)
        return y, backward(dy)

    _, (ddy, (dx2, dgamma2, _)) = jvp(y_and_gradients, point, directions)
    return {"dx2": dx2, "ddy": ddy, "dgamma2": dgamma2}


def reverse_over_forward(forward: Forward, point: Point, dy: Tensor, directions: Point) -> Results:
    """The same by vjp of jvp."""
    ddy, backward = vjp(lambda *point: jvp(forward, point, directions)[1], *point)
    dx2, dgamma2, _ = backward(dy)
    return {"dx2": dx2, "ddy": ddy, "dgamma2": dgamma2}


def forward_over_forward(forward: Forward, point: Point, dy: Tensor, directions: Point) -> Results:
    """The same by jvp of jvp, along (dy, 0, 0): dy/dx is symmetric (ERROR_BOUNDS.md, 16).

    dgamma2 is the sum of dy times the same along gamma, added up as beta's gradient is. Of 16-bit x it is not given:
    what is added up has y's type, and has been rounded to it.
    """
    x, gamma, beta = point

    def along(*point: Tensor) -> Tensor:
        return jvp(forward, point, directions)[1]

    no_x, no_gamma, no_beta = map(torch.zeros_like, point)
    ddy, dx2 = jvp(along, point, (dy, no_gamma, no_beta))
    _, by_gamma = jvp(along, point, (no_x, torch.ones_like(gamma), no_beta))
    (dgamma2,) = vjp(lambda beta: forward(x, gamma, beta), beta)[1](dy * by_gamma)
    return {"dx2": dx2, "ddy": ddy} | ({} if x.element_size() == 2 else {"dgamma2": dgamma2})


ORDERS = {
    "forward-over-reverse": forward_over_reverse,
    "reverse-over-forward": reverse_over_forward,
    "forward-over-forward": forward_over_forward,
}


def members(name: str) -> Members:
    """What a subclass of TorchModule has in place of its own."""

    def twice(
        self: TorchModule, x: np.ndarray, dy: np.ndarray, directions: tuple[np.ndarray, ...], training: bool
    ) -> dict[str, np.ndarray]:
        point = (self._on_device(x), *(variable.detach() for variable in self._variables()))
        given = self._on_device(dy), tuple(self._shaped(directions, point))
        try:
            results = ORDERS[name](as_function(self, training), point, *given)
        except RuntimeError as error:  # NotImplementedError is one
            raise NotImplementedError(f"torch.func refuses the layer: {first_line(error)}") from error
        arrays = {name: to_numpy(result) for name, result in results.items()}
        return {name: array.ravel() if name == "dgamma2" else array for name, array in arrays.items()}

    return {"_twice": twice}


def as_function(adapter: TorchModule, training: bool) -> Forward:
    """y of x, gamma and beta; what a call does to the statistics is dropped."""
    adapter.layer.train(training)

    def forward(x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        named = {adapter.paths["gamma"]: gamma, adapter.paths["beta"]: beta}
        buffers = {name: buffer.clone() for name, buffer in adapter.layer.named_buffers()}
        return functional_call(adapter.layer, {**named, **buffers}, (x,), mode(adapter, training))

    return forward
