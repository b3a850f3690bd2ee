"""Every id of the diagnosis: one sentence that says what to change, and the variants that can be replayed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.diagnose.mistakes import (
    axes,
    bessel,
    debias,
    dx,
    eps,
    gamma_and_beta,
    modes,
    parameter_gradients,
    saved_state,
    statistics,
)
from harness.judge.oracle import OracleLayer
from reference.conventions import Conventions


def _always(_: Conventions) -> bool:
    return True


@dataclass(frozen=True)
class Known:
    """A mistake. `variants` are the ways in which it is made; none where it is not a matter of replaying."""

    id: str
    text: str
    variants: tuple[type[OracleLayer], ...] = ()
    applies: Callable[[Conventions], bool] = _always
    single_value: bool = False
    """Whether it leaves anything, an exception included, of a batch of one value per channel: n - 1 is 0 there."""


KNOWN: tuple[Known, ...] = (
    Known(
        "momentum_inverted",
        "momentum weighs the wrong side: use 1 - momentum, or declare the other sense",
        (statistics.MomentumInverted, statistics.MeanMomentumInverted, statistics.VarMomentumInverted),
    ),
    Known(
        "momentum_wrong",
        "the moving statistics are averaged with other weights than momentum gives: momentum and 1 - momentum",
        (
            statistics.NewNotWeighted,
            statistics.OldNotWeighted,
            statistics.CumulativeAverage,
            statistics.CumulativeAverageOfStart,
            statistics.FirstBatchReplaces,
            statistics.StartsFromZero,
        ),
    ),
    Known(
        "moving_var_biased",
        "the moving variance averages sum/n where sum/(n-1) is declared: multiply the batch variance by n/(n-1)",
        (bessel.MovingVarBiased,),
        lambda c: c.moving_var == "unbiased",
    ),
    Known(
        "moving_var_unbiased",
        "the moving variance averages sum/(n-1) where sum/n is declared: drop Bessel's factor",
        (bessel.MovingVarUnbiased, *bessel.BY_BATCH_SIZE),
        lambda c: c.moving_var == "biased",
        single_value=True,
    ),
    Known(
        "bessel_wrong",
        "Bessel's factor takes the wrong count, stands upside down or is there twice: multiply by n/(n-1) once, "
        "n being all values of a channel",
        (*bessel.BY_BATCH_SIZE, bessel.MovingVarBesselTwice, bessel.MovingVarBesselInverse),
        lambda c: c.moving_var == "unbiased",
        single_value=True,
    ),
    Known(
        "batch_var_unbiased",
        "y is normalized by the variance over n-1: normalize by the one over n",
        (
            bessel.BatchVarUnbiased,
            bessel.BatchVarUnbiasedThroughout,
            bessel.BatchVarUnbiasedAveraged,
            bessel.BatchVarUnbiasedAllThrough,
            bessel.BatchVarUnbiasedTwice,
            bessel.BatchVarUnbiasedTwiceThroughout,
        ),
        single_value=True,
    ),
    Known(
        "eps_outside_sqrt",
        "eps is added to the standard deviation: add it to the variance, under the root",
        eps.OUTSIDE,
        lambda c: c.eps_at == "inside_sqrt",
    ),
    Known("eps_missing", "eps is not used: add it to the variance, under the root", eps.MISSING),
    Known(
        "eps_wrong",
        "eps enters in the wrong place or size: divide by sqrt(var + eps), with the eps that was given",
        eps.WRONG,
    ),
    Known(
        "eps_wrong",
        "eps is added to the variance where it is declared to be added to the standard deviation",
        (eps.EpsInside,),
        lambda c: c.eps_at == "outside_sqrt",
    ),
    Known(
        "std_averaged",
        "the moving variance averages standard deviations: average variances",
        (statistics.StdAveraged,),
    ),
    Known(
        "eval_uses_batch_stats",
        "prediction normalizes by the batch's own statistics: use the moving ones",
        (
            modes.EvalUsesBatchStats,
            modes.EvalIsTrainingWithoutUpdate,
            modes.EvalUsesBatchMean,
            modes.EvalUsesBatchVar,
            modes.EvalIsTraining,
            modes.EvalIsTrainingForward,
            modes.ModesSwapped,
        ),
    ),
    Known(
        "train_uses_moving_stats",
        "training normalizes by the moving statistics: use the batch's own, before they are averaged",
        (
            modes.TrainUsesMovingStats,
            modes.TrainUsesUpdatedStats,
            modes.TrainUsesMovingStatsTrainingGradient,
            modes.TrainUsesUpdatedStatsTrainingGradient,
            modes.TrainUsesMovingVar,
            modes.TrainUsesUpdatedVar,
            modes.TrainUsesMovingMean,
            modes.TrainUsesUpdatedMean,
            modes.TrainGradientUsesMovingStats,
            modes.TrainGradientUsesOldMovingStats,
            modes.TrainIsPrediction,
            modes.ModesSwapped,
        ),
    ),
    Known(
        "stats_frozen",
        "training does not move the moving statistics, or only one of the two: update and keep both",
        (
            statistics.StatsFrozen,
            statistics.MeanFrozen,
            statistics.VarFrozen,
            statistics.FrozenAfterFirst,
            modes.TrainIsPrediction,
        ),
    ),
    Known(
        "stats_updated_in_eval",
        "prediction moves the moving statistics: leave them alone outside training",
        (
            statistics.StatsUpdatedInEval,
            statistics.StatsUpdatedBeforeEval,
            modes.EvalIsTraining,
            modes.EvalIsTrainingForward,
        ),
    ),
    Known(
        "stats_updated_twice",
        "each training step moves the statistics twice (as recomputation does): update them once",
        (statistics.StatsUpdatedTwice,),
    ),
    Known(
        "debiased",
        "the moving statistics are divided by 1 - momentum^t, which is not declared: use the plain average",
        (
            debias.Debiased,
            debias.DebiasedFromZero,
            debias.DebiasedAtOnce,
            debias.DebiasedWhenUsed,
            debias.DebiasedWhenShown,
        ),
        lambda c: not c.debias,
    ),
    Known(
        "not_debiased",
        "the moving statistics lack the declared division by 1 - momentum^t, or count t wrongly",
        (
            debias.NotDebiased,
            debias.DebiasedOneAhead,
            debias.DebiasedOneBehind,
            statistics.CountedTwice,
            debias.DebiasedWhenUsed,
            debias.DebiasedWhenShown,
        ),
        lambda c: c.debias,
    ),
    Known(
        "non_finite_output",
        "debiasing divides by 1 - momentum^0 = 0 before any update: use the average as it is until then",
        (debias.DebiasedAtOnce,),
        lambda c: c.debias,
    ),
    Known(
        "dx_ignores_mean",
        "dx lacks what flows through the batch mean: subtract the mean of dy",
        (dx.DxIgnoresMean, dx.DxIgnoresBoth),
    ),
    Known(
        "dx_ignores_var",
        "dx lacks what flows through the batch variance: subtract x_hat times the mean of dy * x_hat",
        (dx.DxIgnoresVar, dx.DxIgnoresBoth),
    ),
    Known(
        "eval_dx_as_training",
        "prediction's dx is the training formula: the statistics are constants there, dx = gamma dy / sqrt(var + eps)",
        (
            dx.EvalDxAsTraining,
            dx.EvalDxWithMean,
            dx.EvalDxByBatchScale,
            dx.EvalDxByBatch,
            dx.EvalGradientsByBatch,
        ),
    ),
    Known(
        "dgamma_not_normalized",
        "dgamma sums dy times something else than the normalized x: sum dy * x_hat",
        parameter_gradients.DGAMMA_NOT_NORMALIZED,
    ),
    Known(
        "dgamma_dbeta_swapped",
        "dgamma and dbeta are exchanged",
        parameter_gradients.SWAPPED,
    ),
    Known(
        "grads_averaged",
        "a gradient is divided by the number of values: return the sums",
        parameter_gradients.GRADS_AVERAGED,
    ),
    Known(
        "grads_accumulated",
        "dgamma and dbeta still hold what earlier calls left: start from zero",
        parameter_gradients.ACCUMULATED,
    ),
    Known(
        "wrong_axis",
        "the statistics are taken over the wrong axes: reduce over every axis but the channels'",
        axes.WRONG_AXES,
    ),
    Known("gamma_ignored", "gamma is left out of y or of dx: multiply by it in both", gamma_and_beta.GAMMA_IGNORED),
    Known("beta_ignored", "beta is left out of y: add it", gamma_and_beta.BETA_IGNORED),
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
)

NOT_REPLAYED = {
    "fast_variance": "the variance is E[x^2] - E[x]^2, which cancels where the mean is large: "
    "average (x - mean)^2 instead",
    "naive_summation": "sums are accumulated one by one in the input's precision: add pairwise, or in a wider type",
    "low_precision_stats": "statistics or gradients are accumulated in fewer bits than the input or float32 has: "
    "accumulate in float32 at least",
    "input_mutated": "the input is modified: work on a copy",
    "single_value_wrong": "one value per channel is not handled as declared: see `single_value` in the conventions",
    "empty_batch_wrong": "an empty batch spoils the moving statistics or raises: leave them as they are",
    "non_finite_output": "the result is not finite where a finite number is expected",
    "wrong_form": "a result has the wrong shape, dtype or name",
    "unexplained": "no known mistake, alone or with a second one, explains every deviation",
}

TEXTS = {known.id: known.text for known in reversed(KNOWN)} | NOT_REPLAYED
"""Every id and its sentence (the first variant's, where an id has several)."""
