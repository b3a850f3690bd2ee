"""E[x^2] - E[x]^2, which is not honest: the bounds must not hold for it."""

from __future__ import annotations

import numpy as np

from tests.targets.honest.adding import Array, Sum, pairwise
from tests.targets.honest.algorithm import Algorithm
from tests.targets.honest.statistics import Divide


def mean_of_squares(x: Array, add: Sum, divide: Divide) -> tuple[Array, Array]:
    """Clamped at 0."""
    n = x.dtype.type(len(x))
    mean = divide(add(x), n)
    return mean, np.maximum(divide(add(x * x), n) - mean * mean, 0)


FAST_VARIANCE = (
    Algorithm("FastVarianceLoop", mean_of_squares),
    Algorithm("FastVariancePairwise", mean_of_squares, pairwise),
)
