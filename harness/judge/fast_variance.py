"""What E[x^2] - E[x]^2 costs: how much wider the bounds of a layer are that computes its variance so."""

from __future__ import annotations

import numpy as np

from reference.error_bounds import Precision


def fast_variance_error(rows: np.ndarray, precision: Precision) -> np.ndarray:
    """(n, C) -> (C,): how far E[x^2] - E[x]^2 may be off, n kappa^2 u times the variance.

    Chan, Golub and LeVeque, "Algorithms for computing the sample variance", The American Statistician 37, 1983. Both
    terms are about mean^2 + var in size and each sums n rounded terms; the constant allows for any order of the sums.
    """
    n = len(rows)
    if n == 0:
        return np.zeros(rows.shape[1])
    return 3 * (n + 4) * precision.work * np.asarray((rows * rows).mean(axis=0), np.float64)


def lose_channels(bounds: dict[str, np.ndarray], channels: np.ndarray) -> None:
    """Lift every bound where the variance may come out negative: what is divided by its root may be anything, or NaN.

    channels: (C,) booleans.
    """
    for name in ("y", "dx", "dgamma"):
        bounds[name] = np.where(channels, np.inf, bounds[name])
