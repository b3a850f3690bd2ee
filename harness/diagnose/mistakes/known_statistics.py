"""The known mistakes in the statistics and in what normalizes: momentum, Bessel's factor, eps, counts, parts."""

from __future__ import annotations

from harness.diagnose.mistakes import (
    bessel,
    counts,
    eps,
    other_centre,
    power,
    rounded_parameters,
    rounded_settings,
    shards,
    statistics,
    tails,
)
from harness.diagnose.mistakes.entry import Known

OF_STATISTICS: tuple[Known, ...] = (
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
        "settings_rounded",
        "eps or momentum is kept in float32 where the layer computes in float64: keep them as they are given",
        (
            rounded_settings.RoundedSettings,
            rounded_settings.RoundedEps,
            rounded_settings.RoundedMomentum,
            rounded_settings.RoundedNewWeight,
            rounded_settings.RoundedWeights,
        ),
    ),
    Known(
        "parameters_rounded",
        "gamma and beta, and in prediction the moving statistics, are rounded to the 16 bits of x before they are "
        "used: compute in float32, and round the result",
        (rounded_parameters.RoundedParameters,),
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
        (
            *bessel.BY_BATCH_SIZE,
            bessel.MovingVarBesselTwice,
            bessel.MovingVarBesselInverse,
            bessel.MovingVarByChannels,
            bessel.MovingVarBesselWithEps,
        ),
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
        (statistics.StdAveraged, statistics.StdKept, statistics.StdKeptWithoutBessel),
    ),
    Known(
        "inverse_std_averaged",
        "the moving variance averages 1/sqrt(var + eps), the inverse standard deviation: average variances",
        power.INVERSE_STD_AVERAGED,
    ),
    Known(
        "wrong_power",
        "x - mean, or its gradient, is multiplied by another power of var + eps than -1/2: divide by the square root",
        power.WRONG_POWER,
    ),
    Known(
        "wrong_count",
        "a mean over the batch divides by the batch size, the channels or the places: divide by the number of values "
        "of a channel",
        counts.WRONG_COUNT,
    ),
    Known(
        "tail_skipped",
        "sums lack the last values where their number is no multiple of 4, 8 or 16: add those as well",
        tails.TAIL_SKIPPED,
    ),
    Known(
        "mean_bessel",
        "the mean carries Bessel's factor: it is sum/n, whatever the variance is",
        counts.MEAN_BESSEL,
        single_value=True,
    ),
    Known(
        "var_about_other_mean",
        "the variance is taken about the moving mean: take it about the batch's own",
        other_centre.VAR_ABOUT_OTHER_MEAN,
    ),
    Known(
        "stats_per_shard",
        "the statistics are those of parts of the batch, one by one or averaged: merge sums over the whole batch, the "
        "variance between the parts' means included",
        shards.SHARDS,
    ),
)
