"""How far the tensors of two trainings are apart, and how far rounding alone may drive them.

The yardstick is measured, not assumed: one framework is trained once more from a start that is perturbed by one unit
in the last place. Trainings that differ by rounding alone stay within a small multiple of what that grows to.
"""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np

from harness.train.recipe import BATCH_SIZE
from harness.train.results import LockstepRecord
from reference.lenet import Weights

ALLOWED = 10.0
"""A pair may be this many times as far apart as the perturbed framework is from itself."""
PERTURBED = "one ulp off"
FLOOR = 2 * math.log2(24 * 24 * BATCH_SIZE)
"""Units of roundoff that the yardstick is at least: what two pairwise sums over a batch's pixels may be apart. A start
one ulp off says nothing of the rounding within a step, which is all there is in the first few."""


def one_ulp_off(weights: Weights, dtype: str, seed: int) -> Weights:
    """Every weight moved to its neighbour, up or down at random. Moving statistics stay as they are."""
    rng = np.random.default_rng([seed, 2])
    moved = {}
    for name, weight in weights.items():
        weight = weight.astype(dtype)
        away = np.where(rng.random(weight.shape) < 0.5, np.inf, -np.inf).astype(dtype)
        moved[name] = weight if "moving" in name else np.nextafter(weight, away)
    return moved


class Yardstick:
    """Compares trainings after a step, by how far the perturbed one has got from its own so far."""

    def __init__(self, framework: str, dtype: str) -> None:
        """framework: the one that is trained from a perturbed start as well, as `PERTURBED`."""
        self.framework, self.dtype = framework, dtype
        self.floor = FLOOR * float(np.finfo(dtype).eps) / 2
        self.furthest: dict[str, float] = {}
        """By tensor, over all steps so far."""

    def compare(self, tensors: dict[str, Weights], steps: int) -> tuple[LockstepRecord, ...]:
        """A record for each pair of trainings and each tensor. tensors: training -> name -> array."""
        others = {name: of_training for name, of_training in tensors.items() if name != PERTURBED}
        perturbed = tensors[PERTURBED]
        for name, array in perturbed.items():
            grown = distance(array, others[self.framework][name])
            self.furthest[name] = max(self.furthest.get(name, 0.0), grown, self.floor)
        return tuple(
            LockstepRecord(
                a=a,
                b=b,
                dtype=self.dtype,
                steps=steps,
                tensor=name,
                distance=distance(others[a][name], others[b][name]),
                self_distance=self.furthest[name],
                self=self.framework,
                allowed=ALLOWED,
                last=False,
            )
            for a, b in combinations(others, 2)
            for name in perturbed
        )


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """||a - b|| / ||b|| in the Euclidean norm; ||a - b|| where b is zero."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    norm = float(np.linalg.norm(b))
    return float(np.linalg.norm(a - b)) / norm if norm > 0 else float(np.linalg.norm(a - b))
