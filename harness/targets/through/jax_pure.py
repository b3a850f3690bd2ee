"""What is done to a layer of JAX or flax. Each transformation takes a call without side effects and gives another.

A call is f(parameters, state, x) -> (y, the state after it): whatever the layer is, its adapter's arrays are made into
that (jax_calls.py), so that a transformation is written once. Each raises NotImplementedError, with its reason, for
what it does not offer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from harness.targets.results import Members, Results
from harness.targets.through import jax_folds, jax_orders
from harness.targets.through.jax_calls import Call, call_of
from harness.targets.through.jax_copies import another, second, two
from harness.targets.through.transformation import Transformation
from harness.targets.wrap.jax_array import jax_array

Step = Callable[..., Any]
"""(parameters, state, x, dy) -> (y, the gradients of the parameters, dx, the state after it)."""


# --- transformations of the call ---


def jit(call: Call) -> Call:
    """jax.jit."""
    return jax.jit(call)


def remat(call: Call) -> Call:
    """jax.checkpoint under jit: the backward computes the layer again, and its state must come out moved once."""
    return jax.jit(jax.checkpoint(call))


def vmap(call: Call) -> Call:
    """jax.vmap over two layers with parameters and state of their own, the other one on another batch."""

    def both(parameters: Any, state: Any, x: Any) -> Any:
        y, moved = jax.vmap(call)(two(parameters), two(state), jnp.stack([another(x), x]))
        return y[1], second(moved)

    return both


def vmap_axis_name(call: Call) -> Call:
    """The same under a named axis, which the layer was not told of: it must not take statistics over it."""

    def both(parameters: Any, state: Any, x: Any) -> Any:
        y, moved = jax.vmap(call, axis_name="batch")(two(parameters), two(state), jnp.stack([another(x), x]))
        return y[1], second(moved)

    return both


def scan(call: Call) -> Call:
    """jax.lax.scan over two batches that carries the state: its shapes and dtypes must stay; the first is judged."""

    def scanned(parameters: Any, state: Any, x: Any) -> Any:
        def body(state: Any, x: Any) -> Any:
            y, moved = call(parameters, state, x)
            return moved, (y, moved)

        _, (y, moved) = jax.lax.scan(body, state, jnp.stack([x, another(x)]))
        return y[0], jax.tree.map(lambda array: array[0], moved)

    return scanned


def export(call: Call) -> Call:
    """jax.export: to bytes, with one derivative, and back."""

    def round_trip(*arguments: Any) -> Any:
        leaves, structure = jax.tree.flatten(arguments)
        results: Any = None

        def flat(*leaves: Any) -> Any:
            nonlocal results
            values, results = jax.tree.flatten(call(*jax.tree.unflatten(structure, leaves)))
            return tuple(values)

        shapes = [jax.ShapeDtypeStruct(jnp.shape(leaf), jnp.asarray(leaf).dtype) for leaf in leaves]
        exported = jax.export.export(jax.jit(flat))(*shapes)
        loaded = jax.export.deserialize(exported.serialize(vjp_order=1))
        return jax.tree.unflatten(results, loaded.call(*leaves))

    return round_trip


# --- transformations of the whole step ---


def step_of(call: Call) -> Step:
    """The step that a training loop makes: forward, and back from dy."""

    def step(parameters: Any, state: Any, x: Any, dy: Any) -> Any:
        y, backward, moved = jax.vjp(lambda p, x: call(p, state, x), parameters, x, has_aux=True)
        gradients, dx = backward(dy)
        return y, gradients, dx, moved

    return step


def nojit(call: Call) -> Step:
    """jax.disable_jit: every operation by itself, in Python's order."""
    step = step_of(call)

    def run(*arguments: Any) -> Any:
        with jax.disable_jit():
            return step(*arguments)

    return run


def donate(call: Call) -> Step:
    """The step under jit with the state donated: its buffers are written over by the new state's."""
    return jax.jit(step_of(call), donate_argnums=1)


def x32(call: Call) -> Step:
    """With jax_enable_x64 off, as JAX comes."""
    step = step_of(call)

    def run(parameters: Any, state: Any, x: Any, dy: Any) -> Any:
        if x.dtype == jnp.float64:
            raise NotImplementedError("JAX without jax_enable_x64 has no float64")
        with jax.enable_x64(False):
            return step(parameters, state, x, dy)

    return run


def split_merge(call: Call) -> Call:
    """nnx.split, then nnx.merge in a function without side effects: no transformation of JAX besides.

    Likewise for those of nnx, which are within the call.
    """
    return call


def mutable(call: Call) -> Call:
    """linen's apply(mutable=...), called eagerly: the state comes back beside y, and what was given is not changed."""

    def unchanged(parameters: Any, state: Any, x: Any) -> Any:
        before = jax.tree.map(jnp.array, state)
        y, moved = call(parameters, state, x)
        if not jax.tree.all(jax.tree.map(lambda a, b: a is b or not is_known(a) or same(a, b), before, state)):
            raise RuntimeError("apply has changed the state that it was given")
        return y, moved

    return unchanged


def is_known(array: Any) -> bool:
    return not isinstance(array, jax.core.Tracer)


def same(a: Any, b: Any) -> bool:
    return bool(np.array_equal(np.asarray(a), np.asarray(b), equal_nan=True))


STEPS = {"nojit": nojit, "donate": donate, "x32": x32}
EAGER = ("split-merge", "mutable")
CALLS = {
    "jit": jit,
    "remat": remat,
    "vmap": vmap,
    "vmap-axis-name": vmap_axis_name,
    "scan": scan,
    "export": export,
    **dict.fromkeys(("split-merge", "nnx-jit", "nnx-remat", "nnx-scan", "nnx-vmap"), split_merge),
    "mutable": mutable,
}


def transformed(name: str, call: Call) -> Step:
    """The step that makes the call through the transformation `name`, compiled unless that is what it is about."""
    if name in STEPS:
        return STEPS[name](call)
    step = step_of(CALLS[name](call))
    return step if name in EAGER else jax.jit(step)


def members(transformation: Transformation) -> Members:
    """What a subclass of the adapter has in place of its own."""
    if transformation.name in jax_orders.ORDERS:
        return jax_orders.members(transformation.name)
    if transformation.name in jax_folds.MIXING:
        return jax_folds.members(transformation.name)

    def step(self: Any, x: np.ndarray, dy: np.ndarray, training: bool) -> Results:
        pure = call_of(self, x, training, transformation.name)
        made = vars(self).setdefault("made", {})
        key = training, x.shape, x.dtype.name, pure.static
        if key not in made:
            made[key] = transformed(transformation.name, pure.call)
        y, gradients, dx, moved = made[key](pure.parameters, pure.state, jax_array(x), jax_array(dy))
        pure.keep(moved)
        named = {"y": y, "dx": dx, **pure.gradients(gradients)}
        return {name: np.asarray(value) for name, value in named.items()}

    def train_no_grad(self: Any, x: np.ndarray) -> Results:
        return {"y": step(self, x, np.zeros_like(x), True)["y"]}

    return {
        "train": lambda self, x, dy: step(self, x, dy, True),
        "eval": lambda self, x, dy: step(self, x, dy, False),
        "train_no_grad": train_no_grad,
    }
