"""The name of a target that is played by replicas: "torch-sync over 4 replicas", "jax-sync over 3 uneven replicas"."""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.errors import UsageError
from harness.targets.replicas.shards import SHARDS

MOST_REPLICAS = 64
_NAME = re.compile(rf"(.+) over (\d+)(?: ({'|'.join(SHARDS)}))? replicas?")


@dataclass(frozen=True)
class Replicas:
    count: int = 2
    shards: str = "even"
    """How a batch is dealt out: one of SHARDS."""


def split_replicas(name: str) -> tuple[str, Replicas | None]:
    """ "torch-sync over 4 uneven replicas" -> ("torch-sync", Replicas(4, "uneven")); another name gets None.

    Raises UsageError for more replicas than MOST_REPLICAS, or none.
    """
    match = None if name.startswith("exec:") else _NAME.fullmatch(name)
    if match is None:
        return name, None
    count = int(match[2])
    if not 1 <= count <= MOST_REPLICAS:
        raise UsageError(f"target {name!r}: from 1 to {MOST_REPLICAS} replicas, not {count}")
    return match[1], Replicas(count, match[3] or "even")


def join_replicas(target: str, replicas: Replicas) -> str:
    shards = "" if replicas.shards == "even" else f"{replicas.shards} "
    return f"{target} over {replicas.count} {shards}replicas"
