"""A function, a linen module or an nnx module as a call without side effects: f(parameters, state, x) -> (y, state)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from harness.targets.results import Results
from harness.targets.wrap import common
from harness.targets.wrap.function import STATISTICS, Function

Call = Callable[[Any, Any, Any], Any]
PARAMETERS = ("gamma", "beta")


@dataclass(frozen=True)
class Pure:
    """The call of an adapter's layer in one mode, and the arrays that the adapter has now."""

    call: Call
    parameters: Any
    state: Any
    keep: Callable[[Any], None]
    """Makes the state after a call the adapter's."""
    gradients: Callable[[Any], Results]
    """{"dgamma":, "dbeta":}, flat, from gradients like `parameters`."""
    static: Any = None
    """What of the layer is no array: a call is compiled anew where it changes."""


def call_of(adapter: Any, x: np.ndarray, training: bool, transformation: str = "") -> Pure:
    """x: the batch that is about to come; linen makes its arrays by it.

    transformation: where it is one of nnx' own, it is in the call.
    """
    if isinstance(adapter, Function):
        return of_function(adapter, training)
    if hasattr(adapter, "_initialize"):
        return of_linen(adapter, x, training)
    from harness.targets.through import nnx_lifted

    return of_nnx(adapter, training, nnx_lifted.CALLS.get(transformation, nnx_lifted.plain))


def of_function(adapter: Function, training: bool) -> Pure:
    """The statistics are the state. Raises NotImplementedError where nothing tells training from prediction."""
    if not common.mode_argument(adapter.target, True):
        raise NotImplementedError("the function has no argument that tells training from prediction")
    names = [name for name in STATISTICS if name in adapter.paths]

    def call(parameters: Any, state: Any, x: Any) -> Any:
        y, moved = adapter._call(x, {**parameters, **state}, training)
        return y, dict(zip(STATISTICS, moved)) if moved else state  # noqa: B905 - Python 3.9

    return Pure(
        call,
        {name: adapter.arrays[name] for name in PARAMETERS},
        {name: adapter.arrays[name] for name in names},
        adapter.arrays.update,
        lambda gradients: {f"d{name}": gradients[name].ravel() for name in PARAMETERS},
    )


def of_linen(adapter: Any, x: np.ndarray, training: bool) -> Pure:
    """Parameters are the collection "params", all other collections are the state; "batch_stats" is mutable."""
    from flax import traverse_util

    if not adapter.arrays:
        adapter._initialize(x)
    parameters = {path: array for path, array in adapter.arrays.items() if path.startswith("params.")}
    state = {path: array for path, array in adapter.arrays.items() if path not in parameters}
    mode = dict(adapter._mode(training))

    def call(parameters: Any, state: Any, x: Any) -> Any:
        variables = traverse_util.unflatten_dict({**parameters, **state}, sep=".")
        y, updated = adapter.layer.apply(variables, x, mutable=["batch_stats"], **mode)
        return y, {**state, **traverse_util.flatten_dict(updated, sep=".")}

    return Pure(
        call,
        parameters,
        state,
        adapter.arrays.update,
        lambda gradients: {f"d{name}": gradients[adapter.paths[name]].ravel() for name in PARAMETERS},
    )


def of_nnx(adapter: Any, training: bool, called: Callable[[Any, Any, dict[str, bool]], Any]) -> Pure:
    """nnx.split apart into parameters and the rest, nnx.merge into a new object within the call.

    called: (layer, x, the argument that tells the mode) -> y.
    """
    from flax import nnx

    from harness.targets.wrap.nnx_module import variables

    adapter.layer.train() if training else adapter.layer.eval()
    mode = common.mode_argument(type(adapter.layer).__call__, training)
    graph, parameters, state = split(adapter.layer)

    def call(parameters: Any, state: Any, x: Any) -> Any:
        layer = nnx.merge(graph, parameters, state, copy=True)  # else it would move the variables of `state`
        y = called(layer, x, mode)
        return y, split(layer)[2]

    def gradients_by_name(gradients: Any) -> Results:
        by_path = variables(gradients)
        return {f"d{name}": jax.numpy.ravel(by_path[adapter.paths[name]][...]) for name in PARAMETERS}

    def keep(moved: Any) -> None:
        nnx.update(adapter.layer, moved)

    return Pure(call, parameters, state, keep, gradients_by_name, graph)


def split(layer: Any) -> Any:
    """(the graph, the parameters, the rest of the state)."""
    from flax import nnx

    return nnx.split(layer, nnx.Param, ...)
