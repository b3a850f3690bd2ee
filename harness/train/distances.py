"""How far the tensors of two trainings are apart, and how far rounding alone may drive them.

The yardstick is measured, not assumed: each framework is trained again with everything relabelled (`relabelled.py`),
which changes the order of its sums and nothing else. Two honest frameworks are as two such trainings of one are: both
round each operation, neither as the other does. `tests/experiments/LOCKSTEP.md` has how far they do get, and the
smallest mistakes that are further out.
"""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np

from harness.train.recipe import BATCH_SIZE
from harness.train.results import LockstepRecord
from reference.lenet import Weights

ALLOWED = 10.0
"""A pair may be this many times as far apart as a framework is from itself, relabelled."""
FLOOR = 2 * math.log2(24 * 24 * BATCH_SIZE)
"""Units of roundoff that are allowed at least: what two pairwise sums over a batch's pixels may be apart. What rounds
the same however it is labelled, as a constant that is rounded once, is within that."""
TWO_MAY_DIFFER = 3.0
"""Where two frameworks are compared, PyTorch's operations and NumPy: without it they were up to 9 times the yardstick
apart, over ten seeds in float32."""

CANCELLED = ("conv1.bias", "conv2.bias", "dense1.bias", "dense2.bias")
"""Batch norm subtracts the mean, and these with it: their gradients are rounding alone, and have no relative size."""


class TrainingYardstick:
    """Compares trainings after a step, by how far frameworks have got from themselves so far."""

    def __init__(self, dtype: str, twins: dict[str, tuple[str, ...]]) -> None:
        """twins: framework -> the names of its relabelled trainings."""
        self.dtype, self.twins = dtype, twins
        self.floor = FLOOR / ALLOWED * float(np.finfo(dtype).eps) / 2
        self.furthest: dict[str, tuple[float, str]] = {}
        """Tensor -> (how far, which framework), over all steps so far."""

    def compare(self, tensors: dict[str, Weights], steps: int) -> tuple[LockstepRecord, ...]:
        """A record for each pair of trainings and each tensor. tensors: training -> name -> array, in old labels."""
        all_twins = {twin for twins in self.twins.values() for twin in twins}
        compared = [name for name in tensors if name not in all_twins]
        names = tensors[compared[0]]
        for name in names:
            before = self.furthest.get(name, (self.floor, next(iter(self.twins))))
            self.furthest[name] = max(before, self.from_itself(tensors, name))
        return tuple(
            LockstepRecord(
                a=a,
                b=b,
                dtype=self.dtype,
                steps=steps,
                tensor=name,
                distance=distance(tensors[a][name], tensors[b][name]),
                self_distance=self.furthest[name][0],
                self=self.furthest[name][1],
                allowed=ALLOWED,
                last=False,
            )
            for a, b in combinations(compared, 2)
            for name in names
        )

    def from_itself(self, tensors: dict[str, Weights], name: str) -> tuple[float, str]:
        """(how far a framework is from its twins, in the root mean square, which framework): the middle of them.

        One that sums badly, or does not sum the same twice, must not widen what it is measured by. Nothing says which
        of two that is: the further one counts, but no more than TWO_MAY_DIFFER times the nearer. Where rounding alone
        moves a tensor, the framework counts that it moves furthest.
        """
        apart = []
        for framework, twins in self.twins.items():
            squares = [distance(tensors[twin][name], tensors[framework][name]) ** 2 for twin in twins]
            apart.append((math.sqrt(sum(squares) / len(squares)), framework))
        if name in CANCELLED:
            return max(apart)
        apart.sort()
        if len(apart) == 2:
            return min(apart[1], (TWO_MAY_DIFFER * apart[0][0], apart[0][1]))
        return apart[(len(apart) - 1) // 2]


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """||a - b|| / ||b|| in the Euclidean norm; ||a - b|| where b is zero."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    norm = float(np.linalg.norm(b))
    return float(np.linalg.norm(a - b)) / norm if norm > 0 else float(np.linalg.norm(a - b))
