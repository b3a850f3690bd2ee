"""Any target's batch norm as a layer of the NumPy network, so that its conventions show in a whole training.

A target's `train(x, dy)` needs dy when y is not known yet. So every step calls it twice, on fresh objects that start
from the same parameters and statistics: with dy = 0 in the forward pass, which gives y and the statistics, and with
the real dy in the backward pass, which gives the gradients. What a target keeps beyond its statistics is lost between
steps, so a debiasing target cannot be put in; nor can one without `stats`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from harness.cases.case import Setup
from harness.errors import UsageError
from harness.targets.load import load
from reference.conventions import Conventions, conventions_from


class TargetNorm:
    """What `reference.lenet.LeNet` needs of a batch norm, by a target that runs in this process.

    The network's (n, C) are given to the target in rank 4, as one image a pixel high, where it takes that: a batch
    norm must give the same for any shape, and in this one the values of a channel lie side by side as in the network.
    """

    def __init__(self, factory: Any, conventions: Conventions, channels: int, dtype: Any) -> None:
        """conventions: the target's own."""
        self.factory, self.conventions, self.channels = factory, conventions, channels
        self.dtype = np.dtype(dtype)
        ranks = getattr(factory, "ranks", (4,))
        self.rank = 4 if 4 in ranks else min(ranks)
        self.gamma, self.beta = np.ones(channels, dtype), np.zeros(channels, dtype)  # (C,), (C,)
        self.average_mean, self.average_var = np.zeros(channels, dtype), np.ones(channels, dtype)  # (C,), (C,)

    @property
    def moving_mean(self) -> np.ndarray:
        return self.average_mean

    @property
    def moving_var(self) -> np.ndarray:
        return self.average_var

    def train(self, x: np.ndarray) -> tuple[np.ndarray, dict]:
        cache = {"x": x, "setup": self.setup()}
        layer = self.factory(self.setup())
        y = self.rows(layer.train(self.shaped(x), np.zeros_like(self.shaped(x)))["y"])  # (n, C)
        stats = layer.stats()
        self.average_mean = np.array(stats["moving_mean"], self.dtype)  # (C,)
        self.average_var = np.array(stats["moving_var"], self.dtype)  # (C,)
        return y, cache

    def eval(self, x: np.ndarray) -> tuple[np.ndarray, dict]:
        values = self.factory(self.setup()).eval(self.shaped(x), np.zeros_like(self.shaped(x)))
        return self.rows(values["y"]), {}

    def train_backward(self, dy: np.ndarray, cache: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        values = self.factory(cache["setup"]).train(self.shaped(cache["x"]), self.shaped(dy))
        dgamma, dbeta = (np.array(values[name], self.dtype) for name in ("dgamma", "dbeta"))  # (C,), (C,)
        return self.rows(values["dx"]), dgamma, dbeta

    def setup(self) -> Setup:
        """The present state. eps is the network's; a new value weighs 0.1, whichever way the target reads momentum."""
        new = 0.1
        return Setup(
            num_features=self.channels,
            ndim=self.rank,
            dtype=self.dtype.name,
            eps=1e-5,
            momentum=new if self.conventions.momentum == "new" else 1 - new,
            gamma=self.gamma.copy(),
            beta=self.beta.copy(),
            moving_mean=self.average_mean.copy(),
            moving_var=self.average_var.copy(),
        )

    def shaped(self, rows: np.ndarray) -> np.ndarray:
        """(n, C) -> (n, C), or (1, C, 1, n) and the like, in memory of its own and in the usual order."""
        if self.rank == 2:
            return np.array(rows, order="C")
        last = self.conventions.channel_axis % self.rank == self.rank - 1
        ones = [1] * (self.rank - 2)
        return np.array(rows if last else rows.T, order="C").reshape(
            [*ones, *rows.shape] if last else [1, self.channels, *ones[1:], len(rows)]
        )

    def rows(self, y: Any) -> np.ndarray:
        """The inverse, as (n, C)."""
        y = np.array(y, self.dtype)
        last = self.conventions.channel_axis % self.rank == self.rank - 1
        return y.reshape(-1, self.channels) if last else y.reshape(self.channels, -1).T


def target_norm(name: str) -> Callable[..., TargetNorm]:
    """A function that makes layers of target `name`. Raises UsageError for one that cannot be put into a network."""
    factory = load(name)
    declared = getattr(factory, "conventions", None)
    if declared is None:
        raise UsageError(
            f"{name} declares no conventions; add `conventions = {{'preset': ...}}` to put it in a network"
        )
    of_target = conventions_from(declared)
    if of_target.debias:
        raise UsageError(f"{name} debiases: its count of updates cannot be carried from step to step")
    layer = factory(TargetNorm(factory, of_target, channels=6, dtype="float64").setup())
    # Asked of a layer, not of its class: an adapter knows only once it is built whether it has `stats`.
    if not all(callable(getattr(layer, method, None)) for method in ("train", "eval", "stats")):
        raise UsageError(f"{name} needs train, eval and stats to be put into a network")

    def make(channels: int, conventions: Conventions, dtype: Any) -> TargetNorm:  # noqa: ARG001 - the target has its own
        return TargetNorm(factory, of_target, channels, dtype)

    return make
