"""A function f(x, gamma, beta, moving_mean, moving_var, ...) in torch, jax or numpy behind the contract."""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from harness.targets.results import Results
from harness.targets.wrap import common
from harness.targets.wrap.called import Called, Forward
from harness.targets.wrap.differentiable import DifferentiableAdapter
from harness.targets.wrap.function_tools import JaxTools, NumpyTools, TorchTools

STATISTICS = ("moving_mean", "moving_var")


def is_batch_norm(target: Callable[..., Any]) -> bool:
    """Whether its arguments are those of a batch norm as a function: x first, then gamma and beta at least."""
    paths = _array_arguments(list(common.parameters_of(target))[1:])
    return "gamma" in paths and "beta" in paths


def _array_arguments(names: list[str]) -> dict[str, str]:
    """{"gamma": the name of the argument that is gamma, ...}."""
    return common.find_arrays(dict.fromkeys(names, (1,)), 1)


def wrap(target: Callable[..., Any]) -> type:
    """A function -> an implementation under test."""
    adapter = common.adapter_for(Function, target)
    adapter.tools = tools(target)  # type: ignore[attr-defined]
    adapter.shapes = {}  # type: ignore[attr-defined]
    for name in ("framework", "devices", "library"):
        setattr(adapter, name, getattr(adapter.tools, name))  # type: ignore[attr-defined]
    return adapter


class Function(DifferentiableAdapter):
    """The function, and the arrays that its caller carries from step to step.

    It returns y, or (y, moving_mean, moving_var), or (y, (moving_mean, moving_var)); or it returns y and writes the
    statistics in place. Raises common.AdapterError for a function that needs more than bnproof can give, or takes no
    eps or momentum.
    """

    adapter = "a function"
    tools: Any
    shapes: dict[tuple[Any, ...], tuple[int, ...]]
    """What `_shape` has returned, by what it depends on."""

    def __init__(self, setup: Any) -> None:
        parameters = common.parameters_of(self.target)
        self.x_name, *rest = parameters
        self.paths = _array_arguments(rest)
        self.adapter = f"a {self.tools.name} function"
        self.note_mapping(self.paths)
        self.dtype, self.device = setup.dtype, setup.device
        self.numbers = self._numbers(setup, parameters)
        self._check_arguments(parameters)
        self.stats = self._stats if "moving_mean" in self.paths else None
        asked = setup.num_features, setup.ndim, setup.dtype, setup.device
        if asked not in self.shapes:
            self.shapes[asked] = self._shape(setup.num_features, setup.ndim)
        self.shape = self.shapes[asked]
        self.arrays = {name: self._tensor(getattr(setup, name).reshape(self.shape)) for name in self.paths}

    def _tensor(self, x: np.ndarray, dtype: str | None = None) -> Any:
        return self.tools.tensor(x, dtype, self.device)

    def _numbers(self, setup: Any, parameters: dict[str, inspect.Parameter]) -> dict[str, float]:
        """eps and momentum, under the names that the function gives them."""
        numbers: dict[str, float] = {}
        for what, names, value in (("eps", common.EPS, setup.eps), ("momentum", common.MOMENTUM, setup.momentum)):
            name = common.first(names, parameters)
            needed = what == "eps" or "moving_mean" in self.paths
            if name is None and value is not None and needed:
                raise common.AdapterError(f"{common.called(self.target)}({', '.join(parameters)}) takes no {what}")
            if name and value is not None:
                numbers[name] = value
        return numbers

    def _check_arguments(self, parameters: dict[str, inspect.Parameter]) -> None:
        known = {self.x_name, *self.paths.values(), *common.mode_argument(self.target, True)}
        known |= {*self.numbers, *common.EPS, *common.MOMENTUM}
        unknown = [name for name, p in parameters.items() if name not in known and p.default is p.empty]
        if unknown:
            raise common.AdapterError(
                f"{common.called(self.target)} needs {', '.join(unknown)}, which bnproof cannot give"
            )

    def _shape(self, channels: int, ndim: int) -> tuple[int, ...]:
        """The shape in which it wants gamma and the rest: (C,), or (1, C, 1, 1) that broadcasts against x."""
        plain, spread = (channels,), (1, channels, *[1] * (ndim - 2))
        sizes = (2, channels, 3, 5, 7)[:ndim]
        for shape, axis in ((plain, 1), (plain, -1), (spread, 1)):
            x = np.moveaxis(np.arange(np.prod(sizes), dtype=self.dtype).reshape(sizes), 1, axis)
            ones = np.ones(shape, "float64" if self.dtype == "float64" else "float32")
            arrays = {name: self._tensor(ones) for name in self.paths}
            with contextlib.suppress(Exception):
                y, moved = self.tools.outlined(partial(self._call, self._tensor(x, self.dtype), arrays, True))
                if tuple(y.shape) == x.shape and all(np.prod(array.shape) == ones.size for array in moved):
                    return shape
        return plain

    def train(self, x: np.ndarray, dy: np.ndarray) -> Results:
        return self._step(x, dy, True)

    def eval(self, x: np.ndarray, dy: np.ndarray) -> Results:
        if self._has_mode():
            return self._step(x, dy, False)
        by_grad = "is_grad_enabled" in getattr(getattr(self.target, "__code__", None), "co_names", ())
        if not by_grad:
            raise NotImplementedError("the function has no argument that tells training from prediction")
        with self.tools.no_grad():
            return {"y": self.tools.array(self._call(self._tensor(x, self.dtype), self.arrays, False)[0])}

    def train_no_grad(self, x: np.ndarray) -> Results:
        if not self._has_mode():
            raise NotImplementedError("the function has no argument that tells training from prediction")
        with self.tools.no_grad():
            y, moved = self._call(self._tensor(x, self.dtype), self.arrays, True)
        self._keep(moved)
        return {"y": self.tools.array(y)}

    def _has_mode(self) -> bool:
        return bool(common.mode_argument(self.target, True))

    def _step(self, x: np.ndarray, dy: np.ndarray, training: bool) -> Results:
        y, gradients, moved = self.tools.gradients(
            self._forward(training),
            self._tensor(x, self.dtype),
            self.arrays["gamma"],
            self.arrays["beta"],
            self._tensor(dy, self.dtype),
        )
        self._keep(moved)
        named = {"y": y} | dict(zip(("dx", "dgamma", "dbeta"), gradients))  # noqa: B905 - Python 3.9
        values = {name: self.tools.array(value) for name, value in named.items() if value is not None}
        return {name: value if name in ("y", "dx") else common.flat(value) for name, value in values.items()}

    def _twice(self, x: np.ndarray, dy: np.ndarray, directions: tuple[np.ndarray, ...], training: bool) -> Results:
        point = (self._tensor(x, self.dtype), self.arrays["gamma"], self.arrays["beta"])
        upstream = self._tensor(dy, self.dtype)
        result = self.tools.twice(self._y_of(training), point, upstream, self._directions(directions))
        values = {name: self.tools.array(value) for name, value in result.items()}
        return {name: common.flat(value) if name == "dgamma2" else value for name, value in values.items()}

    def _tangent(self, x: np.ndarray, tangents: tuple[np.ndarray, ...], training: bool) -> Results:
        point = (self._tensor(x, self.dtype), self.arrays["gamma"], self.arrays["beta"])
        result = self.tools.tangent(self._y_of(training), point, self._directions(tangents))
        return {name: self.tools.array(value) for name, value in result.items()}

    def _y_of(self, training: bool) -> Forward:
        """y as a function of (x, gamma, beta): the moving statistics that come with it are dropped."""
        if not (training or self._has_mode()):
            raise NotImplementedError("the function has no argument that tells training from prediction")
        return replace(self._forward(training), with_moved=False)

    def _forward(self, training: bool) -> Forward:
        return Forward(self._called(training), self.arrays, self.numbers)

    def _called(self, training: bool) -> Called:
        mode = common.mode_argument(self.target, training)
        return Called(self.target, self.x_name, tuple(self.paths.items()), tuple(mode.items()))

    def _directions(self, directions: tuple[np.ndarray, ...]) -> list[Any]:
        along_x, *others = directions
        return [self._tensor(along_x, self.dtype), *(self._tensor(a.reshape(self.shape)) for a in others)]

    def _call(self, x: Any, arrays: Results, training: bool) -> tuple[Any, Any]:
        """(y, the moving statistics that it returned, if any)."""
        return self._called(training)(x, arrays, self.numbers)

    def _keep(self, moved: tuple[Any, ...]) -> None:
        for name, value in zip(STATISTICS, moved):  # noqa: B905 - Python 3.9
            if name in self.arrays:
                self.arrays[name] = value

    def _stats(self) -> Results:
        return {name: self._flat(self.tools.array(self.arrays[name])) for name in STATISTICS if name in self.arrays}

    def _flat(self, value: Any) -> Any:
        """One value per channel as (C,); any other shape as it is, for the smoke check to report."""
        return common.flat(value) if value.size == np.prod(self.shape) else value

    def state(self) -> dict[str, np.ndarray]:
        """Copies of the arrays: a function that writes in place must not write into what was saved."""
        return {name: np.array(self.tools.array(array)) for name, array in self.arrays.items()}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        self.arrays = {name: self._tensor(array) for name, array in state.items()}


def tools(target: Callable[..., Any]) -> Any:
    """How the framework that the function's module uses makes tensors and gradients."""
    written = inspect.unwrap(target)  # under a decorator such as jax.jit
    names = getattr(written, "__globals__", {})
    used = {getattr(value, "__name__", "").partition(".")[0] for value in names.values() if type(value) is type(sys)}
    used.add((getattr(written, "__module__", "") or "").partition(".")[0])
    if "torch" in used:
        return TorchTools
    return JaxTools if "jax" in used else NumpyTools
