"""JAX's contestants of `layer.py`: channels last, whatever the layout; forward and backward compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from harness.bench.contest import COPY, NATIVE, OURS, SMALL, Contest, Step, arrays
from harness.bench.options import BACKWARD, FORWARD, TRAINING, LayerCase
from impls.jax_flax.batch_norm import BatchNorm, plain_batch_norm
from impls.jax_flax.lenet import CONVENTIONS

Forward = Callable[[Any, jax.Array], tuple[jax.Array, Any]]
"""(parameters, x) -> (y, the moving statistics)"""


def contest(case: LayerCase) -> Contest:
    where = jax.devices(case.device)[0]
    training = case.mode == TRAINING
    channels = case.shape[1]
    x, dy = [
        jax.device_put(np.moveaxis(a, 1, -1).copy(), where).astype(case.dtype) for a in arrays(case.shape)
    ]  # fmt: skip
    with jax.default_device(where):
        ours = BatchNorm(channels, conventions=CONVENTIONS)
        native = nnx.BatchNorm(
            channels, use_running_average=not training, momentum=0.9, dtype=case.dtype, rngs=nnx.Rngs(0)
        )
        if not training:
            ours.eval()
        forwards = {OURS: forward_of(ours), NATIVE: forward_of(native), SMALL: small_operations(channels, training)}
    both = {name: both_ways(forward) for name, (forward, _) in forwards.items()}
    steps = {name: step_of(*forwards[name], both[name], x, dy, case.way) for name in forwards}
    return Contest(
        steps=steps | {COPY: copy_of(x)},
        wait=jax.block_until_ready,
        results=lambda name: [np.asarray(value, np.float32) for value in both[name](forwards[name][1], x, dy)[:2]],
        kept={name: kept_bytes(*forwards[name], x) for name in (OURS, NATIVE)},
        peaks={name: peak_bytes(both[name], forwards[name][1], x, dy) for name in (OURS, NATIVE)},
    )


def forward_of(layer: nnx.Module) -> tuple[Forward, Any]:
    """(a pure function of parameters and x, the parameters).

    Arrays in and out: to pack them into nnx's State takes a fifth of a small call, of either layer.
    """
    graph, parameters, rest = nnx.graphdef(layer), nnx.state(layer, nnx.Param), nnx.state(layer, nnx.BatchStat)
    arrays_of_parameters, tree = jax.tree.flatten(parameters)

    def forward(given: Any, x: jax.Array) -> tuple[jax.Array, Any]:
        copy = nnx.merge(graph, jax.tree.unflatten(tree, given), rest, copy=True)
        y = copy(x)
        return y, jax.tree.leaves(nnx.state(copy, nnx.BatchStat))

    return forward, arrays_of_parameters


def small_operations(channels: int, training: bool) -> tuple[Forward, Any]:
    """The plain formula, an operation after the other; XLA may fuse them."""
    zeros, ones = jnp.zeros(channels), jnp.ones(channels)

    def forward(parameters: Any, x: jax.Array) -> tuple[jax.Array, Any]:
        gamma, beta = parameters
        y, mean, var = plain_batch_norm(
            x, gamma, beta, zeros, ones, 1e-5, 0.9, training=training, conventions=CONVENTIONS
        )
        return y.astype(x.dtype), jax.lax.stop_gradient((mean, var))

    return forward, (ones, zeros)


def both_ways(forward: Forward) -> Any:
    """(parameters, x, dy) -> (y, dx, the parameters' gradients, the moving statistics), compiled.

    The parameters are arguments, as in a training step: of constants XLA would leave out a gamma of 1.
    """

    @jax.jit
    def both(parameters: Any, x: jax.Array, dy: jax.Array) -> tuple[Any, ...]:
        y, back, statistics = jax.vjp(forward, parameters, x, has_aux=True)
        gradients, dx = back(dy)
        return y, dx, gradients, statistics

    return both


def step_of(forward: Forward, parameters: Any, both: Any, x: jax.Array, dy: jax.Array, way: str) -> Step:
    if way == FORWARD:
        run = jax.jit(forward)
        return lambda: run(parameters, x)
    if way == BACKWARD:
        back = linearized(forward, parameters, x)
        run_back = jax.jit(lambda back, dy: back(dy))
        return lambda: run_back(back, dy)
    return lambda: both(parameters, x, dy)


def linearized(forward: Forward, parameters: Any, x: jax.Array) -> Any:
    """What a forward call keeps for backward: a function whose arrays are its leaves."""
    _, back, _ = jax.jit(lambda parameters, x: jax.vjp(forward, parameters, x, has_aux=True))(parameters, x)
    return back


def kept_bytes(forward: Forward, parameters: Any, x: jax.Array) -> int:
    """In the arrays between forward and backward, where each is compiled alone. gamma may be among them."""
    return sum(leaf.nbytes for leaf in jax.tree.leaves(linearized(forward, parameters, x)))


def peak_bytes(both: Any, parameters: Any, x: jax.Array, dy: jax.Array) -> int:
    """By XLA's own account: what the call gives and what it needs in between."""
    memory = both.lower(parameters, x, dy).compile().memory_analysis()
    return memory.temp_size_in_bytes + memory.output_size_in_bytes


def copy_of(x: jax.Array) -> Step:
    copy = jax.jit(jnp.copy)
    return lambda: copy(x)
