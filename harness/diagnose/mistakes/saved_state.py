"""Mistakes in what is saved and restored, and in what two layers share."""

from __future__ import annotations

import numpy as np

from harness.judge.oracle import OracleLayer


class StateNotSaved(OracleLayer):
    """A restored layer goes on from its own statistics, 0 and 1 where it is new: only gamma and beta were saved."""

    def restore(self):
        other = self.loaded_into()
        self.average_mean, self.average_var, self.updates = other.average_mean, other.average_var, other.updates
        super().restore()


class VarNotSaved(OracleLayer):
    def restore(self):
        self.average_var = self.loaded_into().average_var
        super().restore()


class MeanNotSaved(OracleLayer):
    def restore(self):
        self.average_mean = self.loaded_into().average_mean
        super().restore()


class CounterNotSaved(OracleLayer):
    """The averages are saved, the number of updates that debiasing divides by is not."""

    acts_through = ("debiased", "not_debiased", "momentum_wrong")

    def restore(self):
        self.updates = self.loaded_into().updates
        super().restore()


class ParametersNotSaved(OracleLayer):
    def restore(self):
        self.gamma, self.beta = np.ones_like(self.gamma), np.zeros_like(self.beta)
        super().restore()


class GammaNotSaved(OracleLayer):
    def restore(self):
        self.gamma = np.ones_like(self.gamma)
        super().restore()


class BetaNotSaved(OracleLayer):
    def restore(self):
        self.beta = np.zeros_like(self.beta)
        super().restore()


class NothingSaved(ParametersNotSaved, StateNotSaved):
    pass


class StatsShared(OracleLayer):
    """The moving statistics lie with the class: layers alive at once share them."""

    shared: dict[str, np.ndarray] = {}  # noqa: RUF012 (shared on purpose)

    @property
    def average_mean(self):
        return self.shared["mean"]

    @average_mean.setter
    def average_mean(self, value):
        self.shared["mean"] = value

    @property
    def average_var(self):
        return self.shared["var"]

    @average_var.setter
    def average_var(self, value):
        self.shared["var"] = value
