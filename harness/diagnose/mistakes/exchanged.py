"""Two of the things that a layer is given stand in each other's place: arguments in another order, names mixed up."""

from __future__ import annotations

from harness.diagnose.mistakes.at_start import AtStart
from harness.diagnose.mistakes.parameter_gradients import DgammaDbetaSwapped
from harness.judge.oracle import OracleLayer


class GammaAndBetaExchanged(AtStart):
    """beta scales and gamma shifts; dgamma is the gradient of the scale, dbeta that of the shift."""

    def start(self):
        self.gamma, self.beta = self.beta, self.gamma


class GammaAndBetaExchangedWithGradients(GammaAndBetaExchanged, DgammaDbetaSwapped):
    """As above; each gradient goes by the name of its array: dgamma is the gradient of the shift."""


class MeanAndVarExchanged(AtStart):
    """The moving mean starts from the variance that is given, the moving variance from the mean."""

    def start(self):
        self.average_mean, self.average_var = self.average_var, self.average_mean


class MeanAndVarExchangedInPrediction(OracleLayer):
    """Training averages them as it should; prediction subtracts the variance and divides by the root of the mean."""

    alone = True

    def eval(self, x):
        kept = self.average_mean, self.average_var
        self.average_var, self.average_mean = kept
        try:
            return super().eval(x)
        finally:
            self.average_mean, self.average_var = kept


class MeanAndVarExchangedWhereShown(OracleLayer):
    """Training and prediction are right; what is shown as the moving mean is the variance."""

    alone = True

    def play(self, step):
        values = super().play(step)
        if {"moving_mean", "moving_var"} <= values.keys():
            values["moving_mean"], values["moving_var"] = values["moving_var"], values["moving_mean"]
        return values


class EpsAndMomentumExchanged(AtStart):
    def start(self):
        self.eps, self.momentum = self.momentum, self.eps


GAMMA_AND_BETA = (GammaAndBetaExchanged, GammaAndBetaExchangedWithGradients)
MEAN_AND_VAR = (MeanAndVarExchanged, MeanAndVarExchangedInPrediction, MeanAndVarExchangedWhereShown)
EPS_AND_MOMENTUM = (EpsAndMomentumExchanged,)
