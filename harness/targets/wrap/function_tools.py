"""What torch, jax and numpy need to call a function and take its gradients.

Each class: `tensor` makes an array of the framework on a device (dtype None: a copy in the array's own dtype), `array`
brings one back, `gradients` gives (y, (dx, dgamma, dbeta) or (), the moving statistics) for the upstream gradient dy.
"""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np

from harness.targets.results import Results


class NumpyTools:
    """No gradients: what the function returns or writes in place is judged, and no more."""

    name = "NumPy"
    framework = ""
    """The preset whose layers a function of this library is compared with."""
    devices: tuple[str, ...] = ("cpu",)
    library = ""
    """The one that finds the device."""

    @staticmethod
    def no_grad() -> Any:
        return contextlib.nullcontext()

    @staticmethod
    def tensor(x: np.ndarray, dtype: str | None, device: str) -> Any:  # noqa: ARG004
        return x if dtype else x.copy()

    @staticmethod
    def array(value: Any) -> Any:
        return value

    @staticmethod
    def outlined(call: Any) -> Any:
        """What call() returns, of which only the shapes matter."""
        return call()

    @staticmethod
    def gradients(forward: Any, x: Any, gamma: Any, beta: Any, dy: Any) -> tuple[Any, Any, Any]:  # noqa: ARG004
        y, moved = forward(x, gamma, beta)
        return y, (), moved

    @staticmethod
    def twice(forward: Any, point: Any, dy: Any, directions: Any) -> Results:
        """{"dx2", "ddy", "dgamma2"} of forward(x, gamma, beta) -> y. Raises NotImplementedError where there is none."""
        raise NotImplementedError("NumPy does not differentiate")

    @staticmethod
    def tangent(forward: Any, point: Any, tangents: Any) -> Results:
        """{"ty"}. Raises NotImplementedError where there is none."""
        raise NotImplementedError("NumPy does not differentiate")


class JaxTools(NumpyTools):
    name = "JAX"
    devices = ("cpu", "cuda")
    library = "jax"

    @staticmethod
    def tensor(x: np.ndarray, dtype: str | None, device: str) -> Any:  # noqa: ARG004 - a JAX process has one platform
        import jax

        from harness.targets.wrap.jax_array import jax_array

        jax.config.update("jax_enable_x64", True)
        return jax_array(x)

    @staticmethod
    def outlined(call: Any) -> Any:
        import jax

        try:
            return jax.eval_shape(call)  # compiles nothing
        except jax.errors.JAXTypeError:  # it looks at values
            return call()

    @staticmethod
    def gradients(forward: Any, x: Any, gamma: Any, beta: Any, dy: Any) -> tuple[Any, Any, Any]:
        from harness.targets.wrap import jax_functions

        return jax_functions.gradients(forward, (x, gamma, beta), dy)

    @staticmethod
    def twice(forward: Any, point: Any, dy: Any, directions: Any) -> Results:
        from harness.targets.wrap import jax_functions

        return jax_functions.twice(forward, point, dy, directions)

    @staticmethod
    def tangent(forward: Any, point: Any, tangents: Any) -> Results:
        from harness.targets.wrap import jax_functions

        return jax_functions.tangent(forward, point, tangents)


class TorchTools(NumpyTools):
    name = "torch"
    framework = "torch"
    devices = ("cpu", "cuda")
    library = "torch"

    @staticmethod
    def no_grad() -> Any:
        import torch

        return torch.no_grad()

    @staticmethod
    def tensor(x: np.ndarray, dtype: str | None, device: str) -> Any:
        import torch

        from harness.targets.wrap.torch_module import DTYPES, on_device, to_torch

        return on_device(to_torch(x, DTYPES[dtype]) if dtype else torch.from_numpy(x.copy()), device)

    @staticmethod
    def array(value: Any) -> Any:
        from harness.targets.wrap.torch_module import to_numpy

        return to_numpy(value)

    @staticmethod
    def gradients(forward: Any, x: Any, gamma: Any, beta: Any, dy: Any) -> tuple[Any, Any, Any]:
        from harness.targets.wrap.torch_module import differentiate

        leaves = [tensor.detach().requires_grad_() for tensor in (x, gamma, beta)]
        y, moved = forward(*leaves)
        if not y.requires_grad:
            return y, (), moved
        differentiate(y, dy)
        return y.detach(), tuple(leaf.grad for leaf in leaves), tuple(statistic.detach() for statistic in moved)

    @staticmethod
    def twice(forward: Any, point: Any, dy: Any, directions: Any) -> Results:
        from harness.targets.wrap import torch_derivatives

        leaves = [tensor.detach().clone().requires_grad_() for tensor in point]
        return torch_derivatives.twice(forward(*leaves), leaves, dy.requires_grad_(), directions)

    @staticmethod
    def tangent(forward: Any, point: Any, tangents: Any) -> Results:
        from harness.targets.wrap import torch_derivatives

        try:
            with torch_derivatives.duals(point, tangents) as with_tangents:
                return {"ty": torch_derivatives.tangent_of(forward(*with_tangents))}
        except RuntimeError as error:
            raise NotImplementedError(f"PyTorch has no forward mode for it: {error}") from error
