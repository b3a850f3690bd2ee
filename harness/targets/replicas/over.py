"""A target over replicas: what is played in which processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.errors import UsageError
from harness.targets.replicas.names import Replicas


class NotReplicableError(UsageError):
    """There is no way to play the target by several replicas."""


def over(load: Callable[[], Any], replicas: Replicas) -> Any:
    """The factory of a target over replicas. load: gives that of one replica, and can be pickled.

    Raises NotReplicableError.
    """
    factory = load()
    if getattr(factory, "library", "") == "torch":
        from harness.targets.replicas import torch_replicas

        return torch_replicas.over_replicas(factory, load, replicas)
    if hasattr(factory, "over_replicas"):
        return factory.over_replicas(replicas)
    raise NotReplicableError("it is no layer of torch; replicas are of torch's layers and of the targets named -sync")
