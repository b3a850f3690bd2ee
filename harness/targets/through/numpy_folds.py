"""Our own `fold` in NumPy: into convolutions of size 1 and dense layers, which are written here as products."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.targets.results import Members
from harness.targets.through.mixing import Mixing, must_be_finite, reversing, reversing_in_groups
from harness.targets.through.transformation import Transformation
from reference import fold as ours
from reference.batch_norm import BatchNorm
from reference.under_test import ReferenceLayer


@dataclass(frozen=True)
class NumpyLinear:
    """What the batch norm is folded into: how it mixes channels, and where it holds its weight."""

    mixing: Callable[[int], Mixing]
    transposed: bool = False
    dense: bool = False

    def weight(self, mixing: Mixing) -> np.ndarray:
        """(C, K/groups, 1, 1), transposed (K, C/groups, 1, 1), dense (K, C)."""
        if self.dense:
            return mixing.transposed()
        weight = mixing.transposed() if self.transposed else mixing.weight
        return weight[..., None, None]

    def where(self, mixing: Mixing) -> dict[str, int]:
        """What `fold` has to know of the weight."""
        if self.dense:
            return {"output_axis": -1}
        return {"output_axis": 1, "groups": mixing.groups} if self.transposed else {"output_axis": 0}

    def by_output(self, weight: np.ndarray, groups: int) -> np.ndarray:
        """The weight as (groups, C/groups, K/groups)."""
        grouped = weight.reshape(groups, len(weight) // groups, -1)
        return grouped.swapaxes(1, 2) if self.transposed or self.dense else grouped


LINEAR = {
    "fold": NumpyLinear(reversing),
    "fold-grouped": NumpyLinear(reversing_in_groups),
    "fold-transposed": NumpyLinear(reversing, transposed=True),
    "fold-transposed-grouped": NumpyLinear(reversing_in_groups, transposed=True),
    "fold-dense": NumpyLinear(reversing, dense=True),
}


def predicted(layer: BatchNorm, x: np.ndarray, dy: np.ndarray, linear: NumpyLinear) -> tuple[np.ndarray, np.ndarray]:
    """(y, dx) of the layer folded into `linear`, in x's dtype.

    Raises NotImplementedError for a layer that is not ours, and for x that is not finite.
    """
    if type(layer) is not ReferenceLayer:
        raise NotImplementedError(f"`fold` takes our own batch norm, not {type(layer).__name__}")
    must_be_finite(np.isfinite(x.astype(np.float64)))
    channels, dtype = len(layer.gamma), layer.gamma.dtype
    mixing = linear.mixing(channels)
    weight, bias = ours.fold(
        linear.weight(mixing).astype(dtype), np.zeros(channels, dtype), layer, **linear.where(mixing)
    )
    by_group = linear.by_output(weight, mixing.groups)
    first, upstream = (np.moveaxis(a, layer.conventions.channel_axis, 1).astype(dtype) for a in (x, dy))
    inputs = first[:, list(mixing.order)]  # (N, K, ...)
    y = np.einsum("gck,ngk...->ngc...", by_group, _in_groups(inputs, mixing.groups)).reshape(first.shape)
    y += bias.reshape(-1, *(1,) * (first.ndim - 2))
    dinputs = np.einsum("gck,ngc...->ngk...", by_group, _in_groups(upstream, mixing.groups)).reshape(inputs.shape)
    dx = np.zeros_like(first)
    np.add.at(dx.swapaxes(0, 1), np.array(mixing.order), dinputs.swapaxes(0, 1))
    back_y, back_dx = (np.moveaxis(a, 1, layer.conventions.channel_axis).astype(x.dtype) for a in (y, dx))
    return back_y, back_dx


def _in_groups(x: np.ndarray, groups: int) -> np.ndarray:
    return x.reshape(len(x), groups, x.shape[1] // groups, *x.shape[2:])


def members(transformation: Transformation) -> Members:
    """What a subclass of the target that plays our NumPy layer has in place of its own."""
    linear = LINEAR[transformation.name]

    def predict(self: Any, x: np.ndarray, dy: np.ndarray) -> dict[str, np.ndarray]:
        return dict(zip(("y", "dx"), predicted(self.layer, x, dy, linear)))  # noqa: B905 - Python 3.9

    return {"eval": predict, "folded": True, "summation": "any"}
