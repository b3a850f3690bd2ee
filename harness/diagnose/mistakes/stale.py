"""Prediction by what has been overtaken: statistics of before the last update, a scale and shift folded once."""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.judge.oracle import OracleLayer


class _Stale(OracleLayer):
    earlier = None
    """The averages, and the number of updates, as they were before the last one."""

    def update(self, mean, var, n):
        self.earlier = self.average_mean, self.average_var, self.updates
        super().update(mean, var, n)


class StaleStatistics(_Stale):
    """Prediction uses the statistics as they were before the last update; those that are shown are right."""

    def eval_step(self, x, dy):
        now = self.average_mean, self.average_var, self.updates
        self.average_mean, self.average_var, self.updates = self.earlier or now
        try:
            return super().eval_step(x, dy)
        finally:
            self.average_mean, self.average_var, self.updates = now


class StaleUntilRestored(StaleStatistics):
    """As above; what is loaded is used at once."""

    def restore(self):
        self.earlier = None
        super().restore()


class StaleAfterRestore(StaleStatistics):
    """As the first; after loading it predicts by a new layer's statistics, 0 and 1, until the next update."""

    def restore(self):
        self.earlier = np.zeros_like(self.average_mean), np.ones_like(self.average_var), 0
        super().restore()


class OneUpdateLate(_Stale):
    """An update is put off until the next one: what is shown lags as well."""

    @property
    def moving_mean(self):
        return self.debiased(self.earlier[0] if self.earlier else self.average_mean)

    @property
    def moving_var(self):
        return self.debiased(self.earlier[1] if self.earlier else self.average_var)


class OneUpdateLost(OneUpdateLate):
    """As above, and saving loses the update that is still due."""

    def restore(self):
        if self.earlier:
            self.average_mean, self.average_var, self.updates = self.earlier
        self.earlier = None
        super().restore()


class StaleFold(OracleLayer):
    """Scale and shift are folded at the first prediction and used in every later one, gradients included."""

    fold = None
    """(gamma, beta, mean, variance) as they were folded."""

    def folded(self):
        return self.gamma, self.beta, self.moving_mean, self.moving_var

    def eval_step(self, x, dy):
        self.fold = self.fold or self.folded()
        return self.by_fold(x, dy, self.fold)

    def by_fold(self, x, dy, fold):
        kept = self.gamma, self.beta, self.average_mean, self.average_var, self.updates
        self.gamma, self.beta, self.average_mean, self.average_var = fold
        self.updates = 0  # what was folded is debiased already
        try:
            return super().eval_step(x, dy)
        finally:
            self.gamma, self.beta, self.average_mean, self.average_var, self.updates = kept

    def restore(self):
        self.fold = None
        super().restore()


class FoldedWhenBuilt(StaleFold):
    """Folded when the layer is built; loading does not renew it."""

    @classmethod
    def from_setup(cls, setup, conventions):
        layer: Any = super().from_setup(setup, conventions)
        layer.fold = layer.folded()
        return layer

    def restore(self):
        super().restore()
        zeros, ones = np.zeros_like(self.gamma), np.ones_like(self.gamma)
        self.fold = ones, zeros, zeros, ones


class FoldedWhenLoaded(FoldedWhenBuilt):
    """Folded when the layer is built, and anew when it is loaded; training does not renew it."""

    def restore(self):
        super().restore()
        self.fold = self.folded()


class FoldLostWhenLoaded(StaleFold):
    """The fold is right until a state is loaded: from then on it is a new layer's, until training renews it."""

    lost = False

    def eval_step(self, x, dy):
        zeros, ones = np.zeros_like(self.gamma), np.ones_like(self.gamma)
        return self.by_fold(x, dy, (ones, zeros, zeros, ones) if self.lost else self.folded())

    def restore(self):
        self.lost = True
        super().restore()

    def update(self, mean, var, n):
        self.lost = False
        super().update(mean, var, n)


def in_y(kind: type[StaleFold]) -> type[OracleLayer]:
    """The fold acts on y alone; the gradients are right."""

    def by_fold(self, x, dy, fold):
        y = kind.by_fold(self, x, dy, fold)["y"]
        return OracleLayer.eval_step(self, x, dy) | {"y": y}

    return type(f"{kind.__name__}InY", (kind,), {"by_fold": by_fold, "alone": True})


def of_scale(kind: type[StaleFold]) -> type[OracleLayer]:
    """The standard deviation alone is folded; gamma, beta and the mean are up to date."""

    def by_fold(self, x, dy, fold):
        return kind.by_fold(self, x, dy, (self.gamma, self.beta, self.moving_mean, fold[3]))

    return type(f"{kind.__name__}OfScale", (kind,), {"by_fold": by_fold, "alone": True})


STALE = (StaleStatistics, StaleUntilRestored, StaleAfterRestore, OneUpdateLate, OneUpdateLost)
_FOLDS = (StaleFold, FoldedWhenBuilt, FoldedWhenLoaded, FoldLostWhenLoaded)
FOLDED: tuple[type[OracleLayer], ...] = (*_FOLDS, *map(in_y, _FOLDS), *map(of_scale, _FOLDS))
