"""A torch layer over several processes, behind the contract: each plays its shard by the layer's own wrapper."""

from __future__ import annotations

import atexit
import itertools
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from harness.targets.replicas.names import Replicas, join_replicas
from harness.targets.replicas.shards import dealt
from harness.targets.replicas.torch_group import TorchGroup
from harness.targets.wrap.common import DECLARED

DESCRIBED = (*DECLARED, "adapter", "adapter_notes", "declared", "framework", "inherits", "devices", "library")
"""What the wrapper of one process's layer says of all."""
Load = Callable[[], Any]
_GROUPS: dict[tuple[type, str], TorchGroup] = {}
"""(target, device) -> its processes, which outlive an object: starting them takes longer than a case."""


def group_of(target: type[TorchReplicas], device: str) -> TorchGroup:
    group = _GROUPS.get((target, device))
    if group is None or not group.is_alive:
        group = _GROUPS[target, device] = TorchGroup(target.load, target.replicas.count, device)
    return group


@atexit.register
def end_all() -> None:
    for group in _GROUPS.values():
        group.end()


def over_replicas(factory: Any, load: Load, replicas: Replicas) -> type:
    """factory: what a wrapper made of a torch layer; load: gives the same in another process."""
    members = {name: getattr(factory, name) for name in DESCRIBED if hasattr(factory, name)}
    members |= {"load": staticmethod(load), "replicas": replicas}
    return type(join_replicas(factory.__name__, replicas), (TorchReplicas,), members)


class TorchReplicas:
    """One layer a rank, all built from the same setup. How an array lies in memory does not reach the ranks."""

    load: Load
    replicas: Replicas
    adapter_notes: dict[str, str]
    _numbers = itertools.count()

    def __init__(self, setup: Any) -> None:
        self._group = group_of(type(self), setup.device)
        self._session = next(self._numbers)
        weakref.finalize(self, self._group.dropped.append, self._session)
        has_stats = all(self._ask("build", [setup] * self.replicas.count))
        self.stats = self._stats if has_stats else None
        self.replica_stats = self._replica_stats if has_stats else None

    def _ask(self, op: str, arguments: list[Any] | None = None) -> list[Any]:
        """arguments: one a rank, and so are the answers."""
        return self._group.ask(self._session, op, arguments or [None] * self.replicas.count)

    def _step(self, op: str, *arrays: np.ndarray) -> dict[str, np.ndarray]:
        shards = [dealt(array, self.replicas.count, self.replicas.shards) for array in arrays]
        values = self._ask(op, list(zip(*shards, strict=True)))
        everywhere = [name for name in values[0] if all(name in of_rank for of_rank in values)]
        return {
            name: np.concatenate([of_rank[name] for of_rank in values]) if name in ("y", "dx") else values[0][name]
            for name in everywhere
        }

    def train(self, x: np.ndarray, dy: np.ndarray) -> dict[str, np.ndarray]:
        return self._step("train", x, dy)

    def eval(self, x: np.ndarray, dy: np.ndarray) -> dict[str, np.ndarray]:
        return self._step("eval", x, dy)

    def train_no_grad(self, x: np.ndarray) -> dict[str, np.ndarray]:
        return self._step("train_no_grad", x)

    def _stats(self) -> dict[str, np.ndarray]:
        return self._replica_stats()[0]

    def _replica_stats(self) -> list[dict[str, np.ndarray]]:
        return self._ask("stats")

    def state(self) -> list[Any]:
        return self._ask("state")

    def load_state(self, state: list[Any]) -> None:
        self._ask("load_state", state)
