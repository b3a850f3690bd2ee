"""nnx' own transformations, which take a module and move its variables: what they were must come out moved once."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from flax import nnx

from harness.targets.through.jax_copies import another, second, two

Mode = dict[str, bool]
"""The argument that tells training from prediction, if the layer has one."""


def plain(layer: Any, x: Any, mode: Mode) -> Any:
    return layer(x, **mode)


def jit(layer: Any, x: Any, mode: Mode) -> Any:
    """nnx.jit."""
    return nnx.jit(lambda layer, x: layer(x, **mode))(layer, x)


def remat(layer: Any, x: Any, mode: Mode) -> Any:
    """nnx.remat: the backward computes the layer again."""
    return nnx.remat(lambda layer, x: layer(x, **mode))(layer, x)


def scan(layer: Any, x: Any, mode: Mode) -> Any:
    """nnx.scan that carries the layer over one batch."""

    def step(layer: Any, x: Any) -> Any:
        return layer, layer(x, **mode)

    carried = nnx.scan(step, in_axes=(nnx.Carry, 0), out_axes=(nnx.Carry, 0))
    return carried(layer, jnp.stack([x]))[1][0]


def vmap(layer: Any, x: Any, mode: Mode) -> Any:
    """nnx.vmap over one module that holds two layers: the other has other numbers, and another batch."""
    graph, state = nnx.split(layer)
    both = nnx.merge(graph, two(state))
    y = nnx.vmap(lambda layer, x: layer(x, **mode))(both, jnp.stack([another(x), x]))
    nnx.update(layer, second(nnx.state(both)))
    return y[1]


CALLS = {"nnx-jit": jit, "nnx-remat": remat, "nnx-scan": scan, "nnx-vmap": vmap}
