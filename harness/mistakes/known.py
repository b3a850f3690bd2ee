"""Every id of the diagnosis: one sentence that says what to change, and the variants that can be replayed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.mistakes import axes, gradients, modes, statistics
from harness.oracle import OracleLayer
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


KNOWN: tuple[Known, ...] = (
    Known(
        "momentum_inverted",
        "momentum weighs the wrong side: use 1 - momentum, or declare the other sense",
        (statistics.MomentumInverted,),
    ),
    Known(
        "moving_var_biased",
        "the moving variance averages sum/n where sum/(n-1) is declared: multiply the batch variance by n/(n-1)",
        (statistics.MovingVarBiased,),
        lambda c: c.moving_var == "unbiased",
    ),
    Known(
        "moving_var_unbiased",
        "the moving variance averages sum/(n-1) where sum/n is declared: drop Bessel's factor",
        (statistics.MovingVarUnbiased,),
        lambda c: c.moving_var == "biased",
    ),
    Known(
        "batch_var_unbiased",
        "y is normalized by the variance over n-1: normalize by the one over n",
        (
            statistics.BatchVarUnbiased,
            statistics.BatchVarUnbiasedThroughout,
            statistics.BatchVarUnbiasedAveraged,
            statistics.BatchVarUnbiasedAllThrough,
        ),
    ),
    Known(
        "eps_outside_sqrt",
        "eps is added to the standard deviation: add it to the variance, under the root",
        (statistics.EpsOutsideSqrt, statistics.EpsOutsideSqrtThroughout),
        lambda c: c.eps_at == "inside_sqrt",
    ),
    Known("eps_missing", "eps is not used: add it to the variance, under the root", (statistics.EpsMissing,)),
    Known(
        "eps_wrong",
        "eps enters in the wrong place or size: divide by sqrt(var + eps), with the eps that was given",
        (statistics.EpsAsFloor, statistics.EpsSquared, statistics.EpsInMovingVar),
    ),
    Known(
        "eps_wrong",
        "eps is added to the variance where it is declared to be added to the standard deviation",
        (statistics.EpsInside,),
        lambda c: c.eps_at == "outside_sqrt",
    ),
    Known(
        "eval_uses_batch_stats",
        "prediction normalizes by the batch's own statistics: use the moving ones",
        (modes.EvalUsesBatchStats, modes.EvalIsTrainingWithoutUpdate),
    ),
    Known(
        "train_uses_moving_stats",
        "training normalizes by the moving statistics: use the batch's own, before they are averaged",
        (
            modes.TrainUsesMovingStats,
            modes.TrainUsesUpdatedStats,
            modes.TrainUsesMovingStatsTrainingGradient,
            modes.TrainUsesUpdatedStatsTrainingGradient,
        ),
    ),
    Known(
        "stats_frozen",
        "training does not move the moving statistics, or only one of the two: update and keep both",
        (statistics.StatsFrozen, statistics.MeanFrozen, statistics.VarFrozen),
    ),
    Known(
        "stats_updated_in_eval",
        "prediction moves the moving statistics: leave them alone outside training",
        (statistics.StatsUpdatedInEval, statistics.StatsUpdatedBeforeEval),
    ),
    Known(
        "stats_updated_twice",
        "each training step moves the statistics twice (as recomputation does): update them once",
        (statistics.StatsUpdatedTwice,),
    ),
    Known(
        "debiased",
        "the moving statistics are divided by 1 - momentum^t, which is not declared: use the plain average",
        (statistics.Debiased,),
        lambda c: not c.debias,
    ),
    Known(
        "not_debiased",
        "the moving statistics lack the division by 1 - momentum^t that is declared",
        (statistics.NotDebiased,),
        lambda c: c.debias,
    ),
    Known(
        "dx_ignores_mean",
        "dx lacks what flows through the batch mean: subtract the mean of dy",
        (gradients.DxIgnoresMean,),
    ),
    Known(
        "dx_ignores_var",
        "dx lacks what flows through the batch variance: subtract x_hat times the mean of dy * x_hat",
        (gradients.DxIgnoresVar,),
    ),
    Known(
        "eval_dx_as_training",
        "prediction's dx is the training formula: the statistics are constants there, dx = gamma dy / sqrt(var + eps)",
        (gradients.EvalDxAsTraining, gradients.EvalDxByBatch, gradients.EvalGradientsByBatch),
    ),
    Known(
        "dgamma_not_normalized",
        "dgamma sums dy * x without the normalization: sum dy * x_hat",
        (
            gradients.DgammaNotNormalized,
            gradients.DgammaOfRawInput,
            gradients.TrainDgammaNotNormalized,
            gradients.TrainDgammaOfRawInput,
            gradients.EvalDgammaNotNormalized,
            gradients.EvalDgammaOfRawInput,
        ),
    ),
    Known("dgamma_dbeta_swapped", "dgamma and dbeta are exchanged", (gradients.DgammaDbetaSwapped,)),
    Known(
        "grads_averaged",
        "dgamma or dbeta is divided by the number of values: return the sums",
        (
            gradients.GradsAveraged,
            gradients.GradsAveragedOverBatch,
            gradients.DgammaAveraged,
            gradients.DbetaAveraged,
        ),
    ),
    Known(
        "wrong_axis",
        "the statistics are taken over the wrong axes: reduce over every axis but the channels'",
        axes.WRONG_AXES,
    ),
    Known(
        "gamma_ignored",
        "gamma is left out of y or of dx: multiply by it in both",
        (
            gradients.GammaIgnored,
            gradients.DxIgnoresGamma,
            gradients.TrainDxIgnoresGamma,
            gradients.EvalDxIgnoresGamma,
            gradients.YIgnoresGamma,
            gradients.GammaIgnoredInEval,
        ),
    ),
    Known(
        "beta_ignored",
        "beta is left out of y: add it",
        (gradients.BetaIgnored, gradients.BetaIgnoredInEval, gradients.BetaIgnoredInTrain),
    ),
    Known(
        "state_not_saved",
        "saving and loading loses part of the layer: make the moving statistics (and any counter) part of its state",
        (
            modes.StateNotSaved,
            modes.VarNotSaved,
            modes.MeanNotSaved,
            modes.CounterNotSaved,
            modes.ParametersNotSaved,
            modes.NothingSaved,
        ),
    ),
    Known(
        "mode_follows_grad",
        "training or prediction is read from whether gradients are enabled: read it from the layer's own mode",
        (modes.ModeFollowsGrad, modes.NoGradIsEval),
    ),
)

NOT_REPLAYED = {
    "momentum_wrong": "the moving statistics are averaged with another weight than the one given",
    "fast_variance": "the variance is E[x^2] - E[x]^2, which cancels where the mean is large: "
    "average (x - mean)^2 instead",
    "naive_summation": "sums are accumulated one by one in the input's precision: add pairwise, or in a wider type",
    "low_precision_stats": "statistics or gradients are accumulated in fewer bits than the input or float32 has: "
    "accumulate in float32 at least",
    "input_mutated": "the input is modified: work on a copy",
    "single_value_wrong": "one value per channel is not handled as declared: see `single_value` in the conventions",
    "empty_batch_wrong": "an empty batch spoils the moving statistics or raises: leave them as they are",
    "non_finite_output": "the result is not finite where a finite number is owed",
    "wrong_form": "a result has the wrong shape, dtype or name",
    "unexplained": "no known mistake, alone or with a second one, explains every deviation",
}

TEXTS = {known.id: known.text for known in reversed(KNOWN)} | NOT_REPLAYED
"""Every id and its sentence (the first variant's, where an id has several)."""
