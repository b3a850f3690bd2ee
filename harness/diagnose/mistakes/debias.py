"""Mistakes in debiasing: the division of the moving statistics by 1 - momentum^t."""

from __future__ import annotations

from dataclasses import replace

from harness.diagnose.mistakes.statistics import StartsFromZero
from harness.judge.oracle import OracleLayer


class _Debias(OracleLayer):
    divides = True

    def debiases(self):
        return self.divides

    def debiased(self, average):
        conventions = self.conventions
        self.conventions = replace(conventions, debias=self.debiases())
        result = super().debiased(average)
        self.conventions = conventions
        return result


class Debiased(_Debias):
    divides = True


class DebiasedFromZero(Debiased, StartsFromZero):
    """As above; the averages start from zero, whatever the starting values were."""


class DebiasedAtOnce(OracleLayer):
    """Divided by 1 - momentum^t before any update as well, that is by zero."""

    def debiased(self, average):
        keep, _ = self.weights()
        return average / (1 - keep**self.updates)


class DebiasedWhenUsed(_Debias):
    """Prediction uses the debiased statistics; those that are shown are plain."""

    in_use = False

    def debiases(self):
        return self.in_use

    def eval(self, x):
        self.in_use = True
        try:
            return super().eval(x)
        finally:
            self.in_use = False


class DebiasedWhenShown(DebiasedWhenUsed):
    """Prediction uses the plain statistics; those that are shown are debiased."""

    def debiases(self):
        return not self.in_use


class NotDebiased(_Debias):
    divides = False


class _Miscounted(OracleLayer):
    off_by = 1

    def debiased(self, average):
        if self.updates == 0:
            return average
        keep, _ = self.weights()
        return average / (1 - keep ** (self.updates + self.off_by))


class DebiasedOneAhead(_Miscounted):
    """Divided by 1 - momentum^(t + 1)."""


class DebiasedOneBehind(_Miscounted):
    """Divided by 1 - momentum^(t - 1)."""

    off_by = -1
