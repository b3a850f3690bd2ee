"""What a batch norm is folded into: products with 0 and 1 that put channels in another order, and change no number.

The inputs are x's channels in reverse order, and the weights reverse them again, so that what comes out is the batch
norm's own y; a scale on the wrong axis of the weight belongs to another channel. A product with 0 adds nothing, as long
as all of x is finite.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

SCALES = ("mul", "div", "realdiv", "rsqrt", "sub")
"""Operators that a batch norm has and a folded one has not, as TensorFlow and LiteRT call them, in small letters."""


@dataclass(frozen=True)
class Mixing:
    order: tuple[int, ...]
    """The channel of x that each input is: K of them."""
    weight: np.ndarray
    """(C, K/groups), of 0 and 1: an output's products, with the inputs of its group."""
    groups: int

    def transposed(self) -> np.ndarray:
        """The same as a transposed convolution has it: (K, C/groups), an input's products, for the outputs of its
        group."""
        outputs, inputs = self.weight.shape
        grouped = self.weight.reshape(self.groups, outputs // self.groups, inputs)
        return grouped.swapaxes(1, 2).reshape(self.groups * inputs, outputs // self.groups)


def must_be_finite(finite: Any) -> None:
    """finite: of each element of x, by whichever framework. Raises NotImplementedError where one is not."""
    if not finite.all():
        raise NotImplementedError("0 times what is not finite is not 0: all channels would be spoiled")


def must_be_folded(operators: Sequence[str], into: str, by: str) -> None:
    """operators: what `by`, a converter or optimizer, has left of a layer with a batch norm after it.

    Raises NotImplementedError where a scale is among them: then it has not been folded.
    """
    left = [name for name in operators if name.lower() in SCALES or "batchnorm" in name.lower()]
    if left:
        raise NotImplementedError(f"{by} folds no batch norm into {into}: {', '.join(left)} is left")


def alone(channels: int) -> Mixing:
    """Each output from its own channel."""
    return Mixing(tuple(range(channels)), np.ones((channels, 1)), channels)


def reversing(channels: int) -> Mixing:
    """Each output from all channels."""
    return Mixing(tuple(reversed(range(channels))), np.eye(channels)[::-1].copy(), 1)


def reversing_in_groups(channels: int) -> Mixing:
    """In two or more groups of two inputs or more.

    The channels of a group are reversed. A prime number of them makes groups of one output, with another channel as
    a second input, whose weight is 0. Raises NotImplementedError for a single channel.
    """
    if channels == 1:
        raise NotImplementedError("a single channel is not in groups")
    groups = next(divisor for divisor in range(2, channels + 1) if channels % divisor == 0)
    outputs = channels // groups
    if outputs == 1:
        pairs = [((channel + 1) % channels, channel) for channel in range(channels)]
        return Mixing(tuple(channel for pair in pairs for channel in pair), np.tile([0.0, 1.0], (channels, 1)), groups)
    order = np.arange(channels).reshape(groups, outputs)[:, ::-1].ravel()
    return Mixing(tuple(map(int, order)), np.tile(np.eye(outputs)[::-1], (groups, 1)), groups)
