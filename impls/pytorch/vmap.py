"""Many batch norms at once, as torch.func.vmap asks for: B layers of C channels are one layer of B * C channels."""

from __future__ import annotations

from torch import Tensor

from reference.conventions import Conventions


class Fold:
    """B layers side by side, whose x have channels at `conventions.channel_axis`."""

    def __init__(self, layers: int, conventions: Conventions) -> None:
        self.layers, self.axis = layers, conventions.channel_axis

    def values(self, x: Tensor, axis: int | None) -> Tensor:
        """x with the layers on `axis`, or one x for all of them -> (N, B * C, ...) or (N, ..., B * C)."""
        stacked = x.expand(self.layers, *x.shape) if axis is None else x.movedim(axis, 0)  # (B, N, C, ...)
        before = self.axis if self.axis < 0 else self.axis + 1  # the channels' axis in `stacked`
        beside = stacked.movedim(0, before - 1)  # (N, B, C, ...): what stood before moves up
        return beside.flatten(before - 1, before)

    def parameter(self, values: Tensor, axis: int | None) -> Tensor:
        """(C,) with the layers on `axis`, or for all of them -> (B * C,)."""
        stacked = values.expand(self.layers, *values.shape) if axis is None else values.movedim(axis, 0)  # (B, C)
        return stacked.flatten()

    def unfolded(self, values: Tensor) -> Tensor:
        """The inverse of `values`, the layers first."""
        axis = self.axis % values.ndim
        return values.unflatten(axis, (self.layers, values.shape[axis] // self.layers)).movedim(axis, 0)

    def per_layer(self, statistic: Tensor) -> Tensor:
        """(B * C,) -> (B, C)."""
        return statistic.view(self.layers, -1)
