"""What a case asks of a layer beyond the ordinary one: to be built without a part, another average, a mask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from harness.cases.script import CUMULATIVE, MASKED, WITHOUT

Mask = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
"""Takes a random generator and x's shape without the channel axis; True is where an element counts."""


@dataclass(frozen=True)
class Options:
    """None of them by default. A target that does not offer what a case asks for is not judged on it."""

    without: tuple[str, ...] = ()
    """Names in WITHOUT: of what the layer is built without."""
    cumulative: bool = False
    """The moving statistics are the plain average over all batches: the t-th weighs 1/t."""
    mask: Mask | None = None
    """Drawn anew for every step. The gradient is zero where an element does not count."""

    @property
    def asked_for(self) -> tuple[str, ...]:
        """The names in `script.OPTIONS` that a target must offer."""
        others = ((CUMULATIVE, self.cumulative), (MASKED, self.mask is not None))
        return (*self.without, *(name for name, asked in others if asked))

    @property
    def absent(self) -> tuple[str, ...]:
        """The fields of a setup that are None."""
        return tuple(field for name in self.without for field in WITHOUT[name])


def some(share: float = 0.6) -> Mask:
    """About that share of the elements counts, at least three, and at least one does not."""

    def make(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        mask = rng.random(shape) < share
        order = rng.permutation(mask.size)
        mask.flat[order[:3]] = True
        mask.flat[order[3]] = False
        return mask

    return make


def padded(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """(N, L, ...): the sequences of a batch end at different places, and the rest of each is padding."""
    ends = 1 + rng.permutation(np.arange(shape[0]) % shape[1])  # (N,)
    inside = np.arange(shape[1]) < ends[:, None]  # (N, L)
    return np.broadcast_to(inside.reshape(*inside.shape, *[1] * (len(shape) - 2)), shape).copy()


def whole_samples(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """(N, 1, ...): some samples count and the others do not; the mask broadcasts over the places."""
    mask = np.arange(shape[0]) < max(1, shape[0] - 1)
    return rng.permutation(mask).reshape(shape[0], *[1] * (len(shape) - 1))


def one(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """A single element counts."""
    mask = np.zeros(shape, bool)
    mask.flat[rng.integers(mask.size)] = True
    return mask


def nothing(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:  # noqa: ARG001
    """No element counts."""
    return np.zeros(shape, bool)


def everything(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:  # noqa: ARG001
    """Every element counts."""
    return np.ones(shape, bool)
