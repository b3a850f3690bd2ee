"""A function f(x, gamma, beta, moving_mean, moving_var, ...) in torch, jax or numpy behind the contract."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from harness.targets.wrap import common

STATISTICS = ("moving_mean", "moving_var")


def is_batch_norm(target: Callable[..., Any]) -> bool:
    """Whether its arguments are those of a batch norm as a function: x first, then gamma and beta at least."""
    found = common.find_arrays(dict.fromkeys(list(common.parameters_of(target))[1:], (1,)), 1)
    return "gamma" in found and "beta" in found


def wrap(target: Callable[..., Any]) -> type:
    members = {"target": staticmethod(target), "adapter_notes": {}, "tools": tools(target), **common.declared(target)}
    return type(common.called(target), (Function,), members)


class Function:
    adapter = "a function"
    adapter_notes: dict[str, str]
    target: Callable[..., Any]
    tools: Any

    def __init__(self, setup: Any) -> None:
        takes = common.parameters_of(self.target)
        self.x_name, *rest = takes
        self.found = common.find_arrays(dict.fromkeys(rest, (1,)), 1)
        self.adapter = f"a {self.tools.name} function"
        self.adapter_notes["wrapped"] = common.mapping_note(self.adapter, self.found)
        self.dtype = setup.dtype
        self.shape: tuple[int, ...] = (setup.num_features,)
        self.numbers: dict[str, Any] = {}
        for what, names, value in (("eps", common.EPS, setup.eps), ("momentum", common.MOMENTUM, setup.momentum)):
            name = common.first(names, takes)
            needed = what == "eps" or "moving_mean" in self.found
            if name is None and value is not None and needed:
                raise common.AdapterError(f"{common.called(self.target)}({', '.join(takes)}) takes no {what}")
            if name and value is not None:
                self.numbers[name] = value
        known = {self.x_name, *self.found.values(), *self.numbers, *common.mode_argument(self.target, True)}
        defaulted = {n for n, p in takes.items() if p.default is not p.empty}
        unknown = [
            n for n in takes if n not in known | defaulted | {n for n in takes if n in common.EPS + common.MOMENTUM}
        ]
        if unknown:
            raise common.AdapterError(
                f"{common.called(self.target)} needs {', '.join(unknown)}, which bnproof cannot give"
            )
        self.stats = self._stats if "moving_mean" in self.found else None
        self.shape = self._shape(setup.ndim)
        self.arrays = self._arrays(setup)

    def _arrays(self, setup: Any) -> dict[str, Any]:
        return {name: self.tools.tensor(getattr(setup, name).reshape(self.shape), None) for name in self.found}

    def _shape(self, ndim: int) -> tuple[int, ...]:
        """The shape in which it wants gamma and the rest: (C,), or (1, C, 1, 1) that broadcasts against x."""
        plain, spread = self.shape, (1, *self.shape, *[1] * (ndim - 2))
        sizes = (2, self.shape[0], 3, 5, 7)[:ndim]
        for shape, axis in ((plain, 1), (plain, -1), (spread, 1)):
            x = np.moveaxis(np.arange(np.prod(sizes), dtype=self.dtype).reshape(sizes), 1, axis)
            ones = np.ones(shape, "float64" if self.dtype == "float64" else "float32")
            arrays = {name: self.tools.tensor(ones, None) for name in self.found}
            with contextlib.suppress(Exception):
                y, kept = self._call(self.tools.tensor(x, self.dtype), arrays, True)
                if tuple(y.shape) == x.shape and all(np.prod(one.shape) == ones.size for one in kept):
                    return shape
        return plain

    def train(self, x: np.ndarray, dy: np.ndarray) -> dict[str, Any]:
        return self._step(x, dy, True)

    def eval(self, x: np.ndarray, dy: np.ndarray) -> dict[str, Any]:
        mode = common.mode_argument(self.target, False)
        by_grad = "is_grad_enabled" in getattr(getattr(self.target, "__code__", None), "co_names", ())
        if not mode and not by_grad:
            raise NotImplementedError("the function has no argument that tells training from prediction")
        if not mode:
            with self.tools.no_grad():
                return {"y": self.tools.array(self._call(self.tools.tensor(x, self.dtype), self.arrays, False)[0])}
        return self._step(x, dy, False)

    def _step(self, x: np.ndarray, dy: np.ndarray, training: bool) -> dict[str, Any]:
        parameters = [self.arrays["gamma"], self.arrays["beta"]]

        def forward(x: Any, gamma: Any, beta: Any) -> tuple[Any, Any]:
            return self._call(x, self.arrays | {"gamma": gamma, "beta": beta}, training)

        dtype = self.dtype
        tensors = self.tools.tensor(x, dtype), *parameters, self.tools.tensor(dy, dtype)
        y, gradients, kept = self.tools.gradients(forward, *tensors)
        for name, value in zip(STATISTICS, kept, strict=False):
            if name in self.arrays:
                self.arrays[name] = value
        named = {"y": y} | dict(zip(("dx", "dgamma", "dbeta"), gradients, strict=False))
        found = {name: self.tools.array(value) for name, value in named.items() if value is not None}
        return {name: value if name in ("y", "dx") else value.ravel() for name, value in found.items()}

    def _call(self, x: Any, arrays: dict[str, Any], training: bool) -> tuple[Any, Any]:
        """(y, the moving statistics that it returned, if any)."""
        mode = common.mode_argument(self.target, training)
        given = {theirs: arrays[ours] for ours, theirs in self.found.items()}
        result = self.target(**{self.x_name: x}, **given, **self.numbers, **mode)
        if not isinstance(result, tuple | list):
            return result, ()
        y, *rest = result
        kept = rest[0] if len(rest) == 1 and isinstance(rest[0], tuple | list) else rest
        if len(kept) not in (0, 2):
            raise common.AdapterError(
                f"{common.called(self.target)} returned {len(result)} things; expected y, or "
                "(y, moving_mean, moving_var)"
            )
        return y, tuple(kept)

    def _stats(self) -> dict[str, Any]:
        return {name: self._flat(self.tools.array(self.arrays[name])) for name in STATISTICS if name in self.arrays}

    def _flat(self, value: Any) -> Any:
        """Of one value per channel as (C,); of any other shape as it is, for the smoke check to tell."""
        return value.ravel() if value.size == self.shape[-1 if len(self.shape) == 1 else 1] else value


def tools(target: Callable[..., Any]) -> Any:
    """How the framework that the function's module uses makes tensors and gradients."""
    names = getattr(target, "__globals__", {})
    used = {getattr(value, "__name__", "").partition(".")[0] for value in names.values() if type(value) is type(sys)}
    module = getattr(target, "__module__", "") or ""
    used.add(module.partition(".")[0])
    if "torch" in used:
        from harness.targets.wrap.function_tools import TorchTools

        return TorchTools
    if "jax" in used:
        from harness.targets.wrap.function_tools import JaxTools

        return JaxTools
    from harness.targets.wrap.function_tools import NumpyTools

    return NumpyTools
