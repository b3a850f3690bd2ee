"""How a batch is dealt out over replicas: contiguous shards, in the order of the ranks."""

from __future__ import annotations

import numpy as np

SHARDS = ("even", "uneven", "empty")
"""even: sizes that differ by one at most, the larger ones first; uneven: a rank has about as many times the examples of
rank 0 as its place in the order; empty: the rank in the middle has none, the others are even."""


def ends(examples: int, replicas: int, shards: str) -> list[int]:
    """Where each rank's shard ends; it begins where that of the rank before ends."""
    if shards == "uneven":
        parts = np.cumsum(np.arange(1, replicas + 1))
        return [int(end) for end in np.rint(examples * parts / parts[-1])]
    empty = replicas // 2 if shards == "empty" and replicas > 1 else None
    others = replicas if empty is None else replicas - 1
    sizes = [len(part) for part in np.array_split(np.arange(examples), others)]
    if empty is not None:
        sizes.insert(empty, 0)
    return np.cumsum(sizes).tolist()


def dealt(x: np.ndarray, replicas: int, shards: str) -> list[np.ndarray]:
    """x, examples along the first axis, as one array a rank."""
    return np.split(x, ends(len(x), replicas, shards)[:-1])
