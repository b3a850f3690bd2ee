"""A wrong power of var + eps, in y or in the gradient; and the inverse standard deviation averaged."""

from __future__ import annotations

import numpy as np

from harness.diagnose.mistakes.in_mode import everywhere_or_in_one
from harness.diagnose.mistakes.statistics import OtherUpdate
from harness.judge.oracle import OracleLayer


class NoRoot(OracleLayer):
    """(x - mean)/(var + eps); the gradient is still the closed form."""

    power = -1.0

    def inverse_std(self, var):
        return (var + var.dtype.type(self.eps)) ** self.power


class _OwnSlope(NoRoot):
    """With v = var + eps and scale = v^p, d scale/d var = p v^(p - 1), which is -2 p v^(-2p - 1) times -scale^3/2."""

    def variance_slope(self, var, scale):  # noqa: ARG002
        return -2 * self.power * (var + var.dtype.type(self.eps)) ** (-2 * self.power - 1)


class NoRootThroughout(_OwnSlope):
    """As above, with its own gradient."""


def to_the(power: float) -> tuple[type[OracleLayer], type[OracleLayer]]:
    """(x - mean)(var + eps)^power, with the closed form's gradient and with its own."""
    name = f"ToThe{power:g}".replace("-", "Minus").replace(".", "Point")
    return (
        type(name, (NoRoot,), {"power": power, "alone": True}),
        type(f"{name}Throughout", (_OwnSlope,), {"power": power, "alone": True}),
    )


class _SlopeTimes(OracleLayer):
    """y is right; in dx the term through the variance has another power of the standard deviation than the third."""

    alone = True
    power_of_var = 0.5

    def variance_slope(self, var, scale):
        return super().variance_slope(var, scale) * (var + var.dtype.type(self.eps)) ** self.power_of_var


class SquareInSlope(_SlopeTimes):
    """1/(var + eps) in the gradient where (var + eps)^(-3/2) is owed."""


class RootInSlope(_SlopeTimes):
    """(var + eps)^(-1/2)."""

    power_of_var = 1.0


class FourthInSlope(_SlopeTimes):
    """(var + eps)^(-2)."""

    power_of_var = -0.5


class DxByVariance(OracleLayer):
    """y is right; dx is divided by var + eps."""

    def train_backward(self, dy, cache):
        return self._divided(*super().train_backward(dy, cache), cache)

    def eval_backward(self, dy, cache):
        return self._divided(*super().eval_backward(dy, cache), cache)

    def _divided(self, dx, dgamma, dbeta, cache):
        return dx * cache["scale"].reshape(1, -1, *[1] * (dx.ndim - 2)), dgamma, dbeta


WRONG_POWER = (
    *everywhere_or_in_one(NoRoot, NoRootThroughout),
    *(layer for power in (-2.0, -1.5, -0.25, 0.0, 0.5, 1.0, 2.0) for layer in to_the(power)),
    SquareInSlope,
    RootInSlope,
    FourthInSlope,
    *everywhere_or_in_one(DxByVariance),
)


class InverseStdAveraged(OracleLayer):
    """1/sqrt(var + eps), which the forward pass saves, is averaged in place of the variance."""

    def update(self, mean, var, n):
        super().update(mean, 1 / np.sqrt(var + var.dtype.type(self.eps)), n)


class InverseStdAveragedWithoutBessel(OtherUpdate):
    """As above, without Bessel's factor."""

    uses_bessel = False

    def mistaken(self, old, batch):
        keep, new = self.weights()
        return keep * old + new / np.sqrt(batch + batch.dtype.type(self.eps))


class InverseStdOfUnbiasedAveraged(InverseStdAveragedWithoutBessel):
    """That of the variance over n - 1."""

    uses_bessel = True


class InverseStdKept(OtherUpdate):
    """The layer keeps the average of 1/sqrt(var + eps), and predicts by it; the variance that is shown follows."""

    uses_bessel = False
    with_eps = 1

    def mistaken(self, old, batch):
        keep, new = self.weights()
        eps = batch.dtype.type(self.eps) * self.with_eps
        average = keep / np.sqrt(old + eps) + new / np.sqrt(batch + eps)
        return 1 / average**2 - eps


class InverseStdOfUnbiasedKept(InverseStdKept):
    uses_bessel = True


class InverseStdKeptWithoutEps(InverseStdKept):
    """The average of 1/sqrt(var)."""

    with_eps = 0


class InverseStdOfUnbiasedKeptWithoutEps(InverseStdKeptWithoutEps):
    uses_bessel = True


INVERSE_STD_AVERAGED = (
    InverseStdAveraged,
    InverseStdAveragedWithoutBessel,
    InverseStdOfUnbiasedAveraged,
    InverseStdKept,
    InverseStdOfUnbiasedKept,
    InverseStdKeptWithoutEps,
    InverseStdOfUnbiasedKeptWithoutEps,
)
