"""The known mistakes in axes and memory, in gamma and beta, and in what is saved or shared."""

from __future__ import annotations

from harness.diagnose.mistakes import (
    axes,
    exchanged,
    gamma_and_beta,
    modes,
    other_gamma,
    restored,
    saved_state,
    statistics,
    strides,
)
from harness.diagnose.mistakes.entry import Known

OF_LAYOUT_AND_STATE: tuple[Known, ...] = (
    Known(
        "wrong_axis",
        "the statistics are taken over the wrong axes: reduce over every axis but the channels'",
        axes.WRONG_AXES,
    ),
    Known("gamma_ignored", "gamma is left out of y or of dx: multiply by it in both", gamma_and_beta.GAMMA_IGNORED),
    Known("beta_ignored", "beta is left out of y: add it", gamma_and_beta.BETA_IGNORED),
    Known("gamma_abs", "|gamma| is multiplied by: use gamma with its sign", other_gamma.GAMMA_ABS),
    Known(
        "gamma_clamped", "gamma is cut off at 0 where it is negative: use it with its sign", other_gamma.GAMMA_CLAMPED
    ),
    Known("gamma_plus_one", "1 + gamma is multiplied by: use gamma itself", other_gamma.GAMMA_PLUS_ONE),
    Known("gamma_exp", "exp(gamma) is multiplied by: use gamma itself", other_gamma.GAMMA_EXP),
    Known(
        "beta_sign",
        "the shift has the wrong sign: add beta, or beta - gamma * mean / sqrt(var + eps) where it is folded",
        other_gamma.BETA_SIGN,
    ),
    Known(
        "mean_not_subtracted",
        "the mean is not subtracted: normalize x - mean, or fold it as beta - gamma * mean / sqrt(var + eps)",
        other_gamma.MEAN_NOT_SUBTRACTED,
    ),
    Known(
        "gamma_beta_exchanged",
        "gamma and beta stand in each other's place: y = gamma * x_hat + beta",
        exchanged.GAMMA_AND_BETA,
    ),
    Known(
        "mean_var_exchanged",
        "the moving mean and the moving variance stand in each other's place: subtract the mean, and divide by the "
        "root of the variance",
        exchanged.MEAN_AND_VAR,
    ),
    Known(
        "eps_momentum_exchanged",
        "eps and momentum stand in each other's place: look at the order of the arguments",
        exchanged.EPS_AND_MOMENTUM,
    ),
    Known(
        "strides_ignored",
        "x or dy is read in the order in which it lies in memory: go by its strides, or copy it first",
        strides.STRIDES,
    ),
    Known(
        "start_ignored",
        "the moving statistics start from numbers of the layer's own: start from those that are given",
        (statistics.StartIgnored, statistics.StartIgnoredForZero),
    ),
    Known(
        "state_not_saved",
        "saving and loading loses part of the layer: make the moving statistics (and any counter) part of its state",
        (
            saved_state.StateNotSaved,
            saved_state.VarNotSaved,
            saved_state.MeanNotSaved,
            saved_state.CounterNotSaved,
            saved_state.ParametersNotSaved,
            saved_state.GammaNotSaved,
            saved_state.BetaNotSaved,
            saved_state.NothingSaved,
        ),
    ),
    Known(
        "state_shared",
        "two layers alive at once share their moving statistics: keep them in the object, not in its class",
        (saved_state.StatsShared,),
    ),
    Known(
        "mode_follows_grad",
        "training or prediction is read from whether gradients are enabled: read it from the layer's own mode",
        (modes.ModeFollowsGrad, modes.NoGradIsEval, modes.NoGradIsFrozen),
    ),
    Known(
        "restore_changes_layer",
        "a restored layer is not the one that was saved: load each part as it is, and where it belongs",
        restored.RESTORE_CHANGES_LAYER,
    ),
)
