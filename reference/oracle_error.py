"""How far the oracle itself may be off, as a share of the bound of the layer that it judges.

The oracle is the reference in a type of more digits: an honest layer, for which the bounds hold as for any other, with
its own unit roundoff. They need not be evaluated a second time: every bound is at most proportional to the unit
roundoff. Beside that, the bounds are evaluated in float64. ERROR_BOUNDS.md, section 13, proves the shares.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reference.error_bounds import Precision
from reference.statistics_error import denominator, scale_error

Array = NDArray[np.float64]
_quietly = np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore")

FLOAT64 = 2.0**-53
QUAD = 2.0**-110
"""Of 113 bits, computed in software: every operation within eight units."""


@dataclass(frozen=True)
class Shares:
    """What is added to the bounds of a channel, in units of the bounds of sums in any order; (C,) each, or numbers."""

    oracle: Array | float
    """The oracle's own error is at most this."""
    evaluation: Array | float
    """For the rounding of the bounds themselves, and of the difference that is compared with them."""

    def added(self, bound: Array) -> Array:
        """bound: (n, C) or (C,), of which a 0 stays 0 and what is not finite stays as it is."""
        return bound * (self.oracle + self.evaluation)

    def of_both(self) -> Array | float:
        """What the oracle's error is at most, in units of the bound with all that is added."""
        return self.oracle / (1 + self.oracle + self.evaluation)

    def or_greater(self, other: Shares) -> Shares:
        return Shares(np.maximum(self.oracle, other.oracle), np.maximum(self.evaluation, other.evaluation))


def unit_of(dtype: np.dtype) -> float:
    """The unit roundoff of the oracle's type."""
    return float(np.finfo(dtype).eps) / 2 if isinstance(dtype.type(0), np.floating) else QUAD


@dataclass(frozen=True)
class OracleError:
    """The oracle beside a layer, on n values a channel."""

    unit: float
    """The oracle's unit roundoff."""
    precision: Precision
    """The layer's."""
    n: int

    @property
    def share(self) -> float:
        """What is proportional to the unit roundoff is at most this share of the layer's."""
        return self.unit / self.precision.work

    def without_scale(self) -> Shares:
        """Of mean, variance, dbeta and the moving statistics."""
        return Shares(self.share, FLOAT64 * (self.n + 16) ** 2)

    @_quietly
    def with_scale(self, var: Array, var_error: Array, eps: float, eps_at: str) -> Shares:
        """Of y, dx and dgamma. var, var_error (C,): the variance that they are scaled by, and its bound."""
        u = self.precision.work
        p = scale_error(var, var_error, eps, eps_at, u)
        own = own_scale_error(var, self.share * var_error, eps, eps_at, self.share * u)
        lost = np.where(var_error > 0, 4 * FLOAT64 * (1 + p) / p, 0.0)  # by p = root/root' - 1 in float64
        if eps_at == "outside_sqrt":  # by the slope of the root, of which the error is at least 8 u
            lost = lost + (1 + 8 * u) * FLOAT64 / u * eps / (np.sqrt(np.maximum(var - var_error, 0)) + eps)
        evaluation = lost + FLOAT64 * ((self.n + 16) * (1 + p)) ** 2
        return Shares(np.fmax(self.share, own / p), np.where(np.isfinite(evaluation), evaluation, 0.0))


def own_scale_error(var: Array, var_error: Array, eps: float, eps_at: str, u: float) -> Array:
    """`scale_error` without the subtraction, in which float64 would lose what is far below 2^-53."""
    down = np.minimum(var_error, var)
    low, high = var - down, var + var_error
    at, at_low, at_high = (denominator(v, eps, eps_at) for v in (var, low, high))
    roots = (at, at_low, at_high) if eps_at == "inside_sqrt" else tuple(np.sqrt(v) for v in (var, low, high))
    fall = np.where(down > 0, down / (roots[0] + roots[1]), 0.0)
    rise = np.where(high > var, var_error / (roots[0] + roots[2]), 0.0)
    p: Array = np.maximum(fall / at_low, rise / at_high) * (1 + 6 * u) + 6 * u
    return p
