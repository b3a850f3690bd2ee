"""The known mistakes in dx, dgamma and dbeta."""

from __future__ import annotations

from harness.diagnose.mistakes import dx, gradient_factors, parameter_gradients, replicas
from harness.diagnose.mistakes.entry import Known
from harness.diagnose.mistakes.in_mode import only_in

OF_GRADIENTS: tuple[Known, ...] = (
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
        "dx_by_n_minus_1",
        "dx takes the mean of dy * x_hat, or of dy, over n-1: they are over n, whatever the moving variance is",
        (dx.DxOfVarByNMinus1, dx.DxByNMinus1),
        single_value=True,
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
        "x_hat_overwritten",
        "backward takes y for the normalized x, as where that was overwritten: keep x_hat, or make it again from x",
        (parameter_gradients.XHatOverwritten, only_in("train", parameter_gradients.XHatOverwritten)),
    ),
    Known(
        "dgamma_dbeta_swapped",
        "dgamma and dbeta are exchanged",
        parameter_gradients.SWAPPED,
    ),
    Known(
        "grads_averaged",
        "a gradient is divided by the number of values, or of samples: return the sums",
        parameter_gradients.GRADS_AVERAGED,
    ),
    Known(
        "grads_accumulated",
        "dgamma and dbeta still hold what earlier calls left: start from zero",
        parameter_gradients.ACCUMULATED,
    ),
    Known(
        "gradient_per_shard",
        "dx goes by sums over a part of the batch: add up dy and dy * x_hat over all parts, once",
        replicas.GRADIENT_PER_SHARD,
    ),
    Known(
        "gradient_scaled",
        "a gradient, or a term of dx, is multiplied by a constant: reduce once, and check its factor and sign",
        gradient_factors.GRADIENT_SCALED,
    ),
)
