"""Mistakes with a mask: what it leaves out counts all the same, in one place or another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from harness.cases.script import Step
from harness.judge.oracle import OracleLayer, counting_rows
from reference.batch_norm import from_rows, to_rows

Counted = tuple[np.ndarray, float]
"""A set of rows, and the number that sums over it are divided by."""


class MaskMistake(OracleLayer):
    """It shows under a mask alone, and is tried beside no other."""

    alone = True


class MaskIgnored(MaskMistake):
    """The plain batch norm."""

    def masked_step(self, step: Step, x: np.ndarray, dy: np.ndarray) -> dict[str, np.ndarray]:
        return self.ordinary_step(replace(step, mask=None), x, dy)


class MaskedFormula(MaskMistake):
    """The training step over all rows, (n, C), that counts a set of them in each place: right as it stands.

    A set is (n, 1) booleans, and comes with the number that sums over it are divided by.
    """

    closed_form = False
    """Whether dx is the closed form, which takes mean and variance to be right; else it is reverse mode."""

    def masked_step(self, step: Step, x: np.ndarray, dy: np.ndarray) -> dict[str, np.ndarray]:
        if not step.trains:
            return super().masked_step(step, x, dy)
        rows, dy_rows, counts = to_rows(x, 1), to_rows(dy, 1), counting_rows(step)[:, None]
        (in_mean, n_mean), (in_var, n_var) = self.in_mean(counts), self.in_var(counts)
        mean = self.total(np.where(in_mean, rows, 0)) / n_mean  # (C,)
        deviations = np.where(in_var, rows - mean, 0)  # (n, C)
        var = self.total(deviations**2) / n_var  # (C,)
        y, cache = self.normalize(rows, mean, var)  # (n, C)
        dgamma, dbeta = self.total(dy_rows * cache["x_hat"]), self.total(dy_rows)  # (C,), (C,)
        direct = self.gamma * cache["scale"]  # (C,)
        slope = self.variance_slope(cache["var"], cache["scale"])  # (C,) or 1
        if self.closed_form:
            reached, n = self.in_gradient(counts)
            through = np.where(reached, dbeta / n + cache["x_hat"] * (slope * dgamma / n), 0)  # (n, C)
            dx = direct * (dy_rows - through)
        else:
            by_var = -direct * cache["scale"] * slope * dgamma / 2  # (C,)
            by_mean = -direct * dbeta - 2 * by_var * self.total(deviations) / n_var  # (C,)
            dx = direct * dy_rows + 2 * by_var * deviations / n_var + np.where(in_mean, by_mean / n_mean, 0)
        self.update(mean, var, self.count_for_bessel(counts))
        like_x = {"y": from_rows(y, x.shape, 1), "dx": from_rows(dx, x.shape, 1)}
        return like_x | {"dgamma": dgamma, "dbeta": dbeta}

    def in_mean(self, counts: np.ndarray) -> Counted:
        return counts, int(counts.sum())

    def in_var(self, counts: np.ndarray) -> Counted:
        return counts, int(counts.sum())

    def in_gradient(self, counts: np.ndarray) -> Counted:
        """What the closed form reaches by way of mean and variance, and the number that it divides its sums by."""
        return counts, int(counts.sum())

    def count_for_bessel(self, counts: np.ndarray) -> int:
        return int(counts.sum())


class MaskInMeanOnly(MaskedFormula):
    """The variance is that of all elements, about the mean of those that count."""

    def in_var(self, counts):
        return everything(counts)


class MaskInMeanOnlyClosed(MaskInMeanOnly):
    closed_form = True


class MaskInVarianceOnly(MaskedFormula):
    """The mean is that of all elements."""

    def in_mean(self, counts):
        return everything(counts)


class MaskInVarianceOnlyClosed(MaskInVarianceOnly):
    closed_form = True


class SumsOverAll(MaskedFormula):
    """What counts is added up, and divided by the number of all elements."""

    def in_mean(self, counts):
        return counts, len(counts)

    def in_var(self, counts):
        return counts, len(counts)

    def in_gradient(self, counts):
        return counts, len(counts)

    def count_for_bessel(self, counts):
        return len(counts)


class SumsOverAllClosed(SumsOverAll):
    closed_form = True


class StatisticsOverAll(SumsOverAllClosed):
    """The same of mean and variance; the closed form divides by the right number."""

    def in_gradient(self, counts):
        return counts, int(counts.sum())


class VarianceOverAll(MaskedFormula):
    """The variance alone is divided by the number of all elements."""

    def in_var(self, counts):
        return counts, len(counts)


class VarianceOverAllClosed(VarianceOverAll):
    closed_form = True


class CountAndEpsilon(MaskedFormula):
    """Mean and variance are divided by the number of those that count and 1e-7, lest it be 0."""

    def in_mean(self, counts):
        return counts, counts.sum() + 1e-7

    def in_var(self, counts):
        return counts, counts.sum() + 1e-7


class BesselOverAll(MaskedFormula):
    """Bessel's factor is that of the number of all elements."""

    def count_for_bessel(self, counts):
        return len(counts)


class GradientOverAll(MaskedFormula):
    """The means in dx are divided by the number of all elements."""

    closed_form = True

    def in_gradient(self, counts):
        return counts, len(counts)


class MaskLeaks(MaskedFormula):
    """dx is not 0 where an element does not count: what comes by way of mean and variance reaches it."""

    closed_form = True

    def in_gradient(self, counts):
        return np.ones_like(counts), int(counts.sum())


class MaskNotInGradient(MaskLeaks):
    """dx is that of a batch without a mask."""

    def in_gradient(self, counts):
        return everything(counts)


def everything(counts: np.ndarray) -> Counted:
    return np.ones_like(counts), len(counts)


IGNORED = (MaskIgnored,)
IN_MEAN_ONLY = (MaskInMeanOnly, MaskInMeanOnlyClosed, MaskInVarianceOnly, MaskInVarianceOnlyClosed)
MISCOUNTED = (
    SumsOverAll,
    SumsOverAllClosed,
    StatisticsOverAll,
    VarianceOverAll,
    VarianceOverAllClosed,
    CountAndEpsilon,
    BesselOverAll,
    GradientOverAll,
)
LEAKS = (MaskLeaks, MaskNotInGradient)
