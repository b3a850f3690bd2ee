"""Two of the things that a layer is given stand in each other's place: arguments in another order, names mixed up."""

from __future__ import annotations

from harness.judge.oracle import OracleLayer


class _Exchanged(OracleLayer):
    """What was given is exchanged before the first step."""

    alone = True
    is_exchanged = False

    def exchange(self):
        raise NotImplementedError

    def play(self, step):
        if not self.is_exchanged:
            self.is_exchanged = True
            self.exchange()
        return super().play(step)


class GammaAndBetaExchanged(_Exchanged):
    """beta scales and gamma shifts; dgamma is the gradient of the scale, dbeta that of the shift."""

    def exchange(self):
        self.gamma, self.beta = self.beta, self.gamma


class GammaAndBetaExchangedWithGradients(GammaAndBetaExchanged):
    """As above; each gradient goes by the name of its array: dgamma is the gradient of the shift."""

    def train_backward(self, dy, cache):
        dx, dscale, dshift = super().train_backward(dy, cache)
        return dx, dshift, dscale

    def eval_backward(self, dy, cache):
        dx, dscale, dshift = super().eval_backward(dy, cache)
        return dx, dshift, dscale


class MeanAndVarExchanged(_Exchanged):
    """The moving mean starts from the variance that is given, the moving variance from the mean."""

    def exchange(self):
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


class EpsAndMomentumExchanged(_Exchanged):
    def exchange(self):
        self.eps, self.momentum = self.momentum, self.eps


GAMMA_AND_BETA = (GammaAndBetaExchanged, GammaAndBetaExchangedWithGradients)
MEAN_AND_VAR = (MeanAndVarExchanged, MeanAndVarExchangedInPrediction, MeanAndVarExchangedWhereShown)
EPS_AND_MOMENTUM = (EpsAndMomentumExchanged,)
