"""The options of replicas, and the names of targets that are played by them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class Dealt(StrEnum):
    even = "even"
    uneven = "uneven"
    empty = "empty"


Replicas = Annotated[
    int | None,
    typer.Option(help="Play each target by so many replicas, a shard of the batch each.", min=1, metavar="R"),
]
Shards = Annotated[Dealt, typer.Option(help="How a batch is dealt out over replicas; empty: one gets nothing.")]


def over_replicas(targets: tuple[str, ...], count: int, shards: str) -> tuple[str, ...]:
    """The targets' names with replicas in them; count = 0: as they are.

    Raises UsageError for more replicas than can be had, and for a name that says other ones itself.
    """
    from harness.errors import UsageError
    from harness.targets.device import on_device, split_device
    from harness.targets.replicas.names import Replicas, join_replicas, split_replicas

    if not count:
        return targets
    named = []
    for target in targets:
        name, device = split_device(target)
        if split_replicas(name)[1] is not None:
            raise UsageError(f"target {target!r} says itself by how many replicas it is played; leave out --replicas")
        joined = join_replicas(name, Replicas(count, shards))
        split_replicas(joined)
        named.append(on_device(joined, device))
    return tuple(named)
